"""Where everything in a project folder lies."""

from dataclasses import dataclass
from pathlib import Path

from datasetgan.errors import UsageError

__all__ = ["ProjectLayout", "RunLayout", "is_run_name"]


@dataclass(frozen=True)
class RunLayout:
    """The paths of one run: networks trained on a dataset, and their scores.

    None of them needs to exist.

    Attributes:
        folder: of the run.
    """

    folder: Path

    @property
    def settings(self) -> Path:
        """What fixes the run."""
        return self.folder / "settings.toml"

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

    def record(self, stage: str) -> Path:
        """What a stage took: time, memory, versions, settings, digests."""
        return self.folder / "records" / f"{stage}.json"


def is_run_name(name: str) -> bool:
    """Say whether a run may be called so: one visible folder's name on every system."""
    kept = name.strip(" .") == name and name.isprintable()
    return bool(name) and kept and not set(name) & set('<>:"/\\|?*')


@dataclass(frozen=True)
class ProjectLayout(RunLayout):
    """The paths of a project, which are those of its default run too.

    Attributes:
        folder: the project folder.
    """

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
    def encoder(self) -> Path:
        """The network that reads the photos of a project of photos."""
        return self.folder / "encoder.safetensors"

    @property
    def labelled(self) -> Path:
        """The label maps that `label` made, and the index of their photos."""
        return self.folder / "labelled"

    @property
    def sample_index(self) -> Path:
        """What every sample or photo is made from; written last, so it decides what exists."""
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

    @property
    def keypoint_validation(self) -> Path:
        """The keypoint interpreter's scores on held-out samples."""
        return self.folder / "keypoint-validation.json"

    def dataset(self, name: str) -> Path:
        """The folder of a generated dataset."""
        return self.folder / "datasets" / name

    @property
    def report(self) -> Path:
        """The report, one HTML page."""
        return self.folder / "report.html"

    def run(self, name: str | None = None) -> RunLayout:
        """Where a named run lies; the default one's files are the project's own, at its top.

        Raises:
            UsageError: the name is not one that `is_run_name` takes.
        """
        if name is None:
            return self
        if not is_run_name(name):
            raise UsageError(
                "a run's name is one folder's: printable, without slashes and <>:\"|?*, no dot or "
                f"space at its ends, got {name!r}. For instance: deeplab-seed-1"
            )
        return RunLayout(self.runs / name)

    @property
    def runs(self) -> Path:
        """The folder of named runs."""
        return self.folder / "runs"
