"""Where everything in a project folder lies."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ProjectLayout"]


@dataclass(frozen=True)
class ProjectLayout:
    """The paths of a project; none of them needs to exist.

    Attributes:
        folder: the project folder.
    """

    folder: Path

    @property
    def settings(self) -> Path:
        """Settings, generator and classes; written last by `new`."""
        return self.folder / "project.toml"

    @property
    def readme(self) -> Path:
        """The text that explains the folder."""
        return self.folder / "README.md"

    @property
    def gitignore(self) -> Path:
        """The list of what need not go under version control."""
        return self.folder / ".gitignore"

    @property
    def generator(self) -> Path:
        """The copy of a generator that is not embedded in DatasetGAN."""
        return self.folder / "generator.safetensors"

    @property
    def sample_index(self) -> Path:
        """Key, seed and truncation of every sample; written last, so it decides what exists."""
        return self.folder / "samples" / "index.json"

    @property
    def latents(self) -> Path:
        """The latents of all samples in W+, in the order of the index."""
        return self.folder / "samples" / "latents.safetensors"

    def image(self, key: str) -> Path:
        """The picture of a sample, to paint on."""
        return self.folder / "samples" / "images" / f"{key}.png"

    @property
    def labels(self) -> Path:
        """The folder of painted label maps."""
        return self.folder / "labels"

    def label(self, key: str) -> Path:
        """The painted label map of a sample."""
        return self.labels / f"{key}.png"

    @property
    def keypoints(self) -> Path:
        """The points that were marked in the samples."""
        return self.labels / "keypoints.json"

    @property
    def interpreter(self) -> Path:
        """The fitted Style Interpreter."""
        return self.folder / "interpreter.safetensors"

    @property
    def keypoint_interpreter(self) -> Path:
        """The fitted keypoint interpreter."""
        return self.folder / "keypoint-interpreter.safetensors"

    @property
    def validation(self) -> Path:
        """The interpreter's scores on held-out samples."""
        return self.folder / "validation.json"

    def dataset(self, name: str) -> Path:
        """The folder of a generated dataset."""
        return self.folder / "datasets" / name

    @property
    def segmenter(self) -> Path:
        """The trained segmenter."""
        return self.folder / "segmenter.safetensors"

    @property
    def training_state(self) -> Path:
        """What continues an interrupted training; gone when it ends."""
        return self.folder / "segmenter-training.safetensors"

    @property
    def evaluation(self) -> Path:
        """The segmenter's scores on real photos."""
        return self.folder / "evaluation.json"

    @property
    def keypoint_network(self) -> Path:
        """The trained keypoint network."""
        return self.folder / "keypoint-network.safetensors"

    @property
    def keypoint_training_state(self) -> Path:
        """What continues an interrupted training of the keypoint network; gone when it ends."""
        return self.folder / "keypoint-network-training.safetensors"

    @property
    def keypoint_evaluation(self) -> Path:
        """The keypoint network's errors on real photos."""
        return self.folder / "keypoint-evaluation.json"

    @property
    def report(self) -> Path:
        """The report, one HTML page."""
        return self.folder / "report.html"

    def record(self, stage: str) -> Path:
        """What a stage took: time, memory, versions, settings, digests."""
        return self.folder / "records" / f"{stage}.json"
