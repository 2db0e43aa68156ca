"""Label maps for photos that nobody painted."""

from collections.abc import Iterable, Iterator
from math import isfinite
from pathlib import Path

import numpy as np

from datasetgan.dataset import LabelledSample
from datasetgan.dataset.pairs import read_photo
from datasetgan.errors import UsageError
from datasetgan.features.source import FeatureSource, Photo
from datasetgan.interpreter import Interpreter, ScoreRule

__all__ = ["label_photos"]


def label_photos(
    source: FeatureSource,
    interpreter: Interpreter,
    photos: Iterable[tuple[str, Photo]],
    *,
    folder: Path,
    score_rule: ScoreRule = "top_decile_mean",
) -> Iterator[LabelledSample]:
    """Yield every photo with its label map at its own size, one in memory at a time.

    The label map of a photo does not depend on the others.

    Args:
        source: of the photos' features.
        interpreter: fitted on features of this source.
        photos: key and origin of each.
        folder: that the photos' paths are relative to.
        score_rule: how an uncertainty map becomes the score of a photo.

    Yields:
        Samples with their uncertainty maps; their `seed` is the number of the photo.

    Raises:
        UsageError: features that are not the interpreter's, or not finite.
        ProjectError: a photo is missing or was altered.
        DatasetError: a photo cannot be read.
    """
    for number, (key, origin) in enumerate(photos):
        features = source.features(origin)
        image = read_photo(folder / origin.path)
        prediction = interpreter.predict(
            features, size=(image.shape[0], image.shape[1]), score_rule=score_rule
        )
        score = float(prediction.uncertainty_score[0])
        if not isfinite(score):
            raise UsageError(f"the features of {origin.path} are not finite: are the weights?")
        yield LabelledSample(
            key=key,
            seed=number,
            image=image,
            label_map=prediction.label_map[0].to("cpu").numpy().astype(np.uint8),
            uncertainty=prediction.uncertainty[0].float().cpu().numpy(),
            uncertainty_score=score,
        )
