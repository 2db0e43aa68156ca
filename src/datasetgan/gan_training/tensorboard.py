"""TensorBoard event files of a run; needs the extra ``datasetgan[tensorboard]``."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from datasetgan.errors import UsageError
from datasetgan.gan_training.run_files import RunFiles, SnapshotRecord
from datasetgan.gan_training.step_report import StepReport

__all__ = ["TensorBoardLog"]


class TensorBoardLog:
    """Writes losses, speed, scores and sample sheets for TensorBoard.

    Args:
        files: of the run; events go to ``tensorboard`` in its folder.
        every: steps between two points.

    Raises:
        UsageError: the package tensorboard is not installed.
    """

    def __init__(self, files: RunFiles, *, every: int = 16) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "TensorBoard is not installed: pip install 'datasetgan[tensorboard]', "
                "or leave --tensorboard out."
            ) from error
        self._files, self._every, self._steps = files, every, 0
        self._writer = SummaryWriter(str(files.folder / "tensorboard"))

    def add_step(self, report: StepReport) -> None:
        """Write one point of every curve, now and then; the horizontal axis is images seen."""
        self._steps += 1
        if self._steps % self._every:
            return
        values = asdict(report)
        images_seen = values.pop("images_seen")
        for name, value in values.items():
            self._writer.add_scalar(f"training/{name}", value, images_seen)

    def add_snapshot(self, record: SnapshotRecord) -> None:
        """Write the scores of a snapshot and its sheet of samples."""
        self._writer.add_scalar("quality/kid", record.kid, record.images_seen)
        self._writer.add_scalar("quality/fid", record.fid, record.images_seen)
        sheet: Path = self._files.samples(record.images_seen)
        with Image.open(sheet) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        self._writer.add_image("samples", pixels, record.images_seen, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()
