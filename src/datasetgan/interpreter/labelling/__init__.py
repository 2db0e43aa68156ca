"""Three ways to the same label map: plain PyTorch, compiled loops on CPUs, a kernel on GPUs."""

from datasetgan.interpreter.labelling.base import Area, LabelMaps
from datasetgan.interpreter.labelling.engines import EngineChoice, LabelEngine
from datasetgan.interpreter.labelling.labeller import Labeller
from datasetgan.interpreter.labelling.plain import member_outputs

__all__ = [
    "Area",
    "EngineChoice",
    "LabelEngine",
    "LabelMaps",
    "Labeller",
    "member_outputs",
]
