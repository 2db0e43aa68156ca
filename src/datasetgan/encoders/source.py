"""Photos as a source of features."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from datasetgan.dataset.pairs import read_photo
from datasetgan.encoders.encoder import Encoder
from datasetgan.errors import ProjectError, UsageError
from datasetgan.features import FeatureLevel, FeaturePyramid
from datasetgan.features.source import Origin, Photo

__all__ = ["PhotoSource"]


@dataclass(frozen=True, eq=False)
class PhotoSource:
    """The photos of a folder through an encoder; a `FeatureSource`.

    Attributes:
        encoder: what reads them.
        folder: that the photos' paths are relative to.
    """

    encoder: Encoder
    folder: Path

    @property
    def digest(self) -> str:
        """SHA-256 of the encoder's checkpoint."""
        return self.encoder.digest

    @property
    def feature_levels(self) -> tuple[FeatureLevel, ...]:
        """The levels of a square photo."""
        return self.encoder.feature_levels

    def features(self, origin: Origin) -> FeaturePyramid:
        """Return the features of one photo (batch size 1).

        Raises:
            ProjectError: the photo is missing or was altered.
            DatasetError: it cannot be read as a picture.
            UsageError: the sample is no photo.
        """
        if not isinstance(origin, Photo):
            raise UsageError(f"an encoder reads photos, got {origin}.")
        path = self.folder / origin.path
        remedy = "Take it back from version control or a copy of the project."
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ProjectError(f"{path} is missing or cannot be read. {remedy}") from error
        if (found := sha256(data).hexdigest()) != origin.sha256:
            raise ProjectError(
                f"{path} was altered (sha256 {found[:12]}..., expected {origin.sha256[:12]}...): "
                f"what was painted over it may no longer fit. {remedy}"
            )
        return self.encoder.features(read_photo(path))
