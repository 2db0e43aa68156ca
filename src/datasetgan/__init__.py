"""DatasetGAN: a labelled-data factory.

Paint a few images of a generator once, fit a Style Interpreter on its features,
and sample images with their label maps without end.

The names in `__all__` are the public API; ``__init__.pyi`` lists them and where they lie. They
are imported on first use, so that ``import datasetgan`` and ``datasetgan --help`` stay instant.
"""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

_NAMES = Path(__file__).with_suffix(".pyi").read_text("utf-8")
_MODULE_OF = {
    name: module for module, name in re.findall(r"^from (\S+) import (\w+) as ", _NAMES, re.M)
}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
