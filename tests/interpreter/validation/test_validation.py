"""Validation: who is scored by whom, what is chosen, what cannot be said."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import torch

from datasetgan.errors import LabelError, UsageError
from datasetgan.interpreter import Interpreter, fit_interpreter
from datasetgan.interpreter.fitting.folds import Fold
from datasetgan.interpreter.validation import FitFolds, ValidationSettings, validate_fit
from datasetgan.interpreter.validation.report import ValidationReport
from datasetgan.serialization import read_json, write_json
from datasetgan.taxonomy import ClassTaxonomy
from tests.interpreter.conftest import QUICK, make_pyramid, painted_sample
from tests.interpreter.validation.fake_fits import FOUR, THREE, Pyramids, reader, readers, truth_of


def validated(
    count: int, fit_folds: FitFolds, *, steps: int = 8, settings: ValidationSettings
) -> ValidationReport:
    truths = [truth_of(image) for image in range(count)]
    return validate_fit(
        Pyramids(count), truths, THREE, steps=steps, fit_folds=fit_folds, settings=settings
    )


def test_every_image_is_scored_by_its_own_fold() -> None:
    """Against scikit-learn on all held-out predictions, made here one by one."""
    settings = ValidationSettings(folds=3, checkpoints=1, seed=4)
    report = validated(7, readers(lambda fold, step: 0.2 + 0.3 * fold), settings=settings)
    truths, labels, ious, accuracies, scores = [], [], [], [], []
    for image in range(7):
        (fold,) = (number for number, fold in enumerate(report.folds) if image in fold)
        threshold = 0.2 + 0.3 * fold
        prediction = reader(threshold, threshold + 0.2).predict(make_pyramid(image))
        painted = (truth_of(image) != 255).numpy()
        truth = truth_of(image).numpy()[painted]
        label = prediction.label_map[0].numpy()[painted]
        truths.append(truth)
        labels.append(label)
        ious.append(sklearn.metrics.jaccard_score(truth, label, average="macro"))
        accuracies.append((truth == label).mean())
        scores.append(float(prediction.uncertainty_score))
        assert report.images[image].fold == fold
    truth, label = np.concatenate(truths), np.concatenate(labels)
    jaccard = sklearn.metrics.jaccard_score(truth, label, average=None)
    assert report.protocol == "k-fold"
    assert [score.iou for score in report.classes] == pytest.approx(jaccard)
    assert report.mean_iou == pytest.approx(jaccard.mean())
    assert report.pixel_accuracy == pytest.approx((truth == label).mean())
    assert (np.array(report.confusion) == sklearn.metrics.confusion_matrix(truth, label)).all()
    assert [image.pixel_accuracy for image in report.images] == pytest.approx(accuracies)
    assert [image.mean_iou for image in report.images] == pytest.approx(ious)
    assert [image.uncertainty_score for image in report.images] == pytest.approx(scores)
    assert [score.pixels for score in report.classes] == np.bincount(truth).tolist()
    assert [score.images for score in report.classes] == [7, 7, 7]
    by_fold = [
        sklearn.metrics.jaccard_score(
            np.concatenate([truths[i] for i in fold]),
            np.concatenate([labels[i] for i in fold]),
            average=None,
        )
        for fold in report.folds
    ]
    spreads = [score.fold_spread for score in report.classes]
    assert spreads == pytest.approx(np.std(by_fold, axis=0))
    assert report.mean_iou_spread == pytest.approx(np.std(np.mean(by_fold, axis=1)))
    by_image = [
        sklearn.metrics.jaccard_score(t, p, average=None)
        for t, p in zip(truths, labels, strict=True)
    ]
    spreads = [score.image_spread for score in report.classes]
    assert spreads == pytest.approx(np.std(by_image, axis=0))
    assert report.reliability is not None
    assert sum(report.reliability.pixels) == len(truth)
    for curve in (report.risk_by_image, report.risk_by_pixel):
        assert curve is not None
        assert curve.error[0] == pytest.approx(1 - (truth == label).mean())
    assert report.risk_by_image_iou is not None
    assert report.risk_by_image_iou.error[0] == pytest.approx(1 - jaccard.mean())
    assert report.unvalidated == ()
    assert report.seconds > 0


def test_a_fit_that_reads_the_truth_scores_one() -> None:
    def exact(
        folds: tuple[Fold, ...], checkpoints: tuple[int, ...]
    ) -> Iterator[tuple[int, Sequence[Interpreter]]]:
        yield from ((step, [reader(0.5)] * len(folds)) for step in checkpoints)

    report = validated(4, exact, settings=ValidationSettings(checkpoints=2))
    assert report.protocol == "leave-one-out"
    assert sorted(report.folds) == [(0,), (1,), (2,), (3,)]
    assert report.mean_iou == 1
    # The earliest of equals.
    assert report.steps == 4
    assert [score.fold_spread for score in report.classes] == [0, 0, 0]


@pytest.mark.parametrize(
    ("steps", "count", "expected"),
    [(8, 4, (2, 4, 6, 8)), (10, 3, (4, 7, 10)), (2, 4, (1, 2)), (1, 1, (1,)), (7, 1, (7,))],
)
def test_checkpoints_are_spread_up_to_the_end(
    steps: int, count: int, expected: tuple[int, ...]
) -> None:
    asked: list[tuple[int, ...]] = []

    def fit_folds(
        folds: tuple[Fold, ...], checkpoints: tuple[int, ...]
    ) -> Iterator[tuple[int, Sequence[Interpreter]]]:
        asked.append(checkpoints)
        return readers(lambda fold, step: 0.5)(folds, checkpoints)

    settings = ValidationSettings(checkpoints=count)
    report = validated(2, fit_folds, steps=steps, settings=settings)
    assert asked == [expected]
    assert tuple(score.step for score in report.checkpoints) == expected


def test_the_fit_stops_where_held_out_images_like_it_best() -> None:
    best = {2: 1.0, 4: 0.4, 6: 0.8, 8: 1.2}
    report = validated(
        6, readers(lambda fold, step: best[step]), settings=ValidationSettings(folds=3)
    )
    assert report.steps == 4
    scores = [score.mean_iou or 0 for score in report.checkpoints]
    assert scores.index(max(scores)) == 1
    assert scores[1] == report.mean_iou


def test_a_fold_has_no_say_in_the_checkpoint_that_it_is_scored_at() -> None:
    """Fold 0 is at its best after 4 steps, the others after 8: so it is scored after 8."""

    def threshold(fold: int, step: int) -> float:
        return 0.4 if (step == 4) == (fold == 0) else 1.5

    settings = ValidationSettings(folds=4, checkpoints=2)
    report = validated(8, readers(threshold), settings=settings)
    assert report.steps == 8
    accuracies = [image.pixel_accuracy or 0 for image in report.images]
    poor = [accuracies[image] for image in report.folds[0]]
    good = [accuracies[image] for fold in report.folds[1:] for image in fold]
    assert max(poor) < 0.7 < min(good)


def test_a_class_of_one_image_is_not_validated() -> None:
    truths = [truth_of(image) for image in range(5)]
    truths[3][4:8] = 3
    report = validate_fit(
        Pyramids(5),
        truths,
        FOUR,
        steps=1,
        fit_folds=readers(lambda fold, step: 0.6, FOUR),
        settings=ValidationSettings(checkpoints=1),
        keys=[f"sample-{i}" for i in range(5)],
    )
    assert [(c.name, c.reason) for c in report.unvalidated] == [
        ("rare", "painted in one image alone (sample-3)")
    ]
    rare = report.classes[3]
    assert (rare.pixels, rare.images, rare.iou, rare.fold_spread) == (4 * 16, 1, None, None)
    # Its pixels are not scored, and the others' mean is theirs alone.
    others = [score.iou for score in report.classes[:3]]
    assert report.mean_iou == pytest.approx(np.mean([iou for iou in others if iou is not None]))
    assert np.sum(report.confusion) == sum(score.pixels for score in report.classes[:3])
    assert report.images[3].key == "sample-3"


def test_a_class_within_one_fold_is_not_validated() -> None:
    """Three classes in images 0 and 1, 1 and 2, 2 and 0: two folds cannot part them all."""
    truths = [torch.zeros(16, 16, dtype=torch.int64) for _ in range(4)]
    pairs = {"low": (0, 1), "high": (1, 2), "rare": (2, 0)}
    for name, images in pairs.items():
        for image in images:
            truths[image][4 * FOUR.by_name(name).id :][:2] = FOUR.by_name(name).id
    report = validate_fit(
        Pyramids(4),
        truths,
        FOUR,
        steps=2,
        fit_folds=readers(lambda fold, step: 0.5, FOUR),
        settings=ValidationSettings(folds=2),
    )
    (found,) = report.unvalidated
    (fold,) = (fold for fold in report.folds if set(pairs[found.name]) <= set(fold))
    keys = ", ".join(f"image {image}" for image in fold)
    assert found.reason == f"the images that show it are held out together ({keys})"
    assert [score.iou is None for score in report.classes] == [
        name == found.name for name in FOUR.names
    ]


def test_spread_is_over_images_that_show_the_class() -> None:
    truths = [truth_of(image) for image in range(3)]
    truths[0][truths[0] == 1] = 0
    report = validate_fit(
        Pyramids(3), truths, THREE, steps=1, fit_folds=readers(lambda fold, step: 0.4)
    )
    ious = []
    for image in (1, 2):
        labels = reader(0.4, 0.6).predict(make_pyramid(image)).label_map[0] == 1
        truth, painted = truths[image] == 1, truths[image] != 255
        ious.append(float((labels & truth & painted).sum() / ((labels | truth) & painted).sum()))
    assert report.classes[1].image_spread == pytest.approx(np.std(ious))


def test_nothing_to_score_is_said() -> None:
    truths = [torch.full((16, 16), image) for image in range(2)]
    report = validate_fit(
        Pyramids(2), truths, THREE, steps=4, fit_folds=readers(lambda fold, step: 0.5)
    )
    assert [c.name for c in report.unvalidated] == ["middle", "low", "high"]
    assert report.mean_iou is report.pixel_accuracy is report.reliability is None
    assert report.risk_by_image is report.risk_by_image_iou is report.risk_by_pixel is None
    assert report.steps == 4  # no reason to stop early


def test_one_painted_image_is_not_validated(tmp_path: Path) -> None:
    def never(
        folds: tuple[Fold, ...], checkpoints: tuple[int, ...]
    ) -> Iterator[tuple[int, Sequence[Interpreter]]]:
        raise AssertionError

    truths = [torch.full((16, 16), 255), truth_of(1)]
    report = validate_fit(
        Pyramids(2), truths, FOUR, steps=9, fit_folds=never, keys=["first", "second"]
    )
    assert report.protocol == "none"
    assert report.steps == 9
    assert {c.name: c.reason for c in report.unvalidated} == {
        "middle": "one image alone is painted (second)",
        "low": "one image alone is painted (second)",
        "high": "one image alone is painted (second)",
        "rare": "painted in no image",
    }
    assert sum(score.pixels for score in report.classes) == 13 * 16
    write_json(tmp_path / "validation.json", report)
    assert read_json(tmp_path / "validation.json", ValidationReport) == report


def test_an_unpainted_image_takes_no_part() -> None:
    truths = [truth_of(image) for image in range(4)]
    truths[1][:] = 255
    report = validate_fit(
        Pyramids(4), truths, THREE, steps=1, fit_folds=readers(lambda fold, step: 0.5)
    )
    assert sorted(report.folds) == [(0,), (2,), (3,)]
    assert [image.key for image in report.images] == ["image 0", "image 2", "image 3"]


def test_label_maps_on_another_grid() -> None:
    truths = [truth_of(i).repeat_interleave(2, 0).repeat_interleave(2, 1) for i in range(3)]
    report = validate_fit(
        Pyramids(3), truths, THREE, steps=1, fit_folds=readers(lambda fold, step: 0.5)
    )
    found = [reader(0.5, 0.7).predict(make_pyramid(i), size=(32, 32)) for i in range(3)]
    labels = torch.cat([prediction.label_map[0, 6:] for prediction in found]).flatten()
    truth = torch.cat([truth[6:] for truth in truths]).flatten()
    assert (np.array(report.confusion) == sklearn.metrics.confusion_matrix(truth, labels)).all()


def test_the_report_survives_its_file(tmp_path: Path) -> None:
    report = validated(4, readers(lambda fold, step: 0.7), settings=ValidationSettings())
    write_json(tmp_path / "validation.json", report)
    assert "NaN" not in (tmp_path / "validation.json").read_text()
    assert read_json(tmp_path / "validation.json", ValidationReport) == report


def test_progress_and_repetition() -> None:
    seen: list[tuple[int, int]] = []
    truths = [truth_of(image) for image in range(3)]
    reports = [
        validate_fit(
            Pyramids(3),
            truths,
            THREE,
            steps=8,
            fit_folds=readers(lambda fold, step: 0.4 + fold / 9),
            on_progress=lambda done, total: seen.append((done, total)),
        )
        for _ in range(2)
    ]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)] * 2
    assert reports[0].images == reports[1].images
    assert reports[0].confusion == reports[1].confusion


def test_real_fits_are_scored_on_images_they_did_not_see() -> None:
    samples = [painted_sample(seed) for seed in range(4)]
    taxonomy = ClassTaxonomy.from_names(["low", "middle", "high"])

    def fit_folds(
        folds: tuple[Fold, ...], checkpoints: tuple[int, ...]
    ) -> Iterator[tuple[int, Sequence[Interpreter]]]:
        (step,) = checkpoints
        yield (
            step,
            [
                fit_interpreter(
                    [sample for i, sample in enumerate(samples) if i not in fold],
                    taxonomy,
                    settings=QUICK,
                )
                for fold in folds
            ],
        )

    report = validate_fit(
        Pyramids(4),
        [sample.label_map for sample in samples],
        taxonomy,
        steps=QUICK.max_steps,
        fit_folds=fit_folds,
        settings=ValidationSettings(folds=2, checkpoints=1),
    )
    assert report.mean_iou is not None
    assert 0.6 < report.mean_iou < 1  # by chance 0.2
    assert report.risk_by_pixel is not None
    assert report.risk_by_pixel.falls


def test_refuses() -> None:
    fit_folds = readers(lambda fold, step: 0.5)
    truths = [truth_of(image) for image in range(2)]
    with pytest.raises(UsageError, match="3 images came with 2 label maps and 3 keys"):
        validate_fit(Pyramids(3), truths, THREE, steps=1, fit_folds=fit_folds)
    with pytest.raises(UsageError, match="at least 1 step, got 0"):
        validate_fit(Pyramids(2), truths, THREE, steps=0, fit_folds=fit_folds)
    blank = [torch.full((4, 4), 255)] * 2
    with pytest.raises(LabelError, match="nothing is painted in 2 images"):
        validate_fit(Pyramids(2), blank, THREE, steps=1, fit_folds=fit_folds)
    truths[1][5, 5] = 7
    with pytest.raises(LabelError, match=r"label map of image 1 holds class id 7.*ends at 2"):
        validate_fit(Pyramids(2), truths, THREE, steps=1, fit_folds=fit_folds)


@pytest.mark.parametrize(("name", "value"), [("folds", 1), ("checkpoints", 0), ("seed", -1)])
def test_settings_refuse(name: str, value: int) -> None:
    with pytest.raises(UsageError, match=rf"validation setting {name} .* got {value}"):
        ValidationSettings(**{name: value})
