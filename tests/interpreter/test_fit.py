"""Fitting: what is learned, what is reported, what is refused."""

import weakref
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from datasetgan.errors import LabelError, UsageError
from datasetgan.generators import FeaturePyramid, StyleGAN2, sample_latents
from datasetgan.interpreter import (
    FitProgress,
    FitSettings,
    Interpreter,
    PaintedSample,
    fit_interpreter,
)
from datasetgan.interpreter.fit import _batches
from datasetgan.taxonomy import ClassTaxonomy
from tests.interpreter.conftest import QUICK, make_pyramid, painted_sample

THREE = ClassTaxonomy.from_names(["background", "low", "high"])


def test_learns_what_was_painted(fitted: Interpreter) -> None:
    unseen = painted_sample(50, unpainted=False)
    prediction = fitted.predict(unseen.features)
    correct = (prediction.label_map[0] == unseen.label_map).float().mean()
    assert correct > 0.9


def test_report(fitted: Interpreter) -> None:
    report = fitted.report
    assert report is not None
    samples = [painted_sample(seed) for seed in range(4)]
    counts = [sum(int((s.label_map == k).sum()) for s in samples) for k in range(4)]
    assert list(report.class_pixels) == counts
    assert report.unpainted_classes(fitted.taxonomy) == ("never_painted",)
    assert (report.images, report.pixels, report.steps) == (4, 400, 120)
    assert report.epochs == pytest.approx(120 * 32 / 400)
    assert 0 < report.final_loss < 0.5
    assert report.seconds > 0
    assert fitted.generator_digest == "b" * 64


def test_a_fit_repeats_itself() -> None:
    quick = replace(QUICK, max_steps=5)

    def digest(settings: FitSettings) -> str:
        samples = (painted_sample(seed) for seed in range(2))
        return fit_interpreter(samples, THREE, settings=settings).digest

    assert digest(quick) == digest(quick)
    assert digest(quick) != digest(replace(quick, seed=1))


def test_members_differ_in_start_and_order() -> None:
    orders = [next(_batches(100, settings=QUICK, member=m)).tolist() for m in range(2)]
    assert orders[0] != orders[1]
    interpreter = fit_interpreter([painted_sample(0)], THREE, settings=replace(QUICK, max_steps=1))
    weight = interpreter.classifiers.layers[0].weight
    assert not torch.allclose(weight[0], weight[1], atol=1e-2)


def test_batches_go_through_every_pixel_once_an_epoch() -> None:
    batches = _batches(10, settings=replace(QUICK, batch=4), member=0)
    drawn = torch.cat([next(batches) for _ in range(5)])
    assert sorted(drawn[:10].tolist()) == list(range(10))
    assert sorted(drawn[10:].tolist()) == list(range(10))


@pytest.mark.parametrize(("max_epochs", "steps"), [(2, 14), (100, 120)])
def test_the_smaller_budget_ends_the_fit(max_epochs: int, steps: int) -> None:
    settings = replace(QUICK, max_epochs=max_epochs)
    report = fit_interpreter([painted_sample(0)] * 2, THREE, settings=settings).report
    assert report is not None
    assert report.steps == steps  # 200 pixels in batches of 32 are 7 steps an epoch


def test_fewer_pixels_than_a_batch() -> None:
    label_map = torch.full((16, 16), 255)
    label_map[3, 4] = 1
    sample = PaintedSample(make_pyramid(), label_map)
    interpreter = fit_interpreter([sample], THREE, settings=replace(QUICK, max_steps=3))
    assert interpreter.report is not None
    assert interpreter.report.pixels == 1
    assert interpreter.predict(sample.features).uncertainty.isfinite().all()


def test_one_image_alive_at_a_time() -> None:
    alive: list[weakref.ref[FeaturePyramid]] = []

    def samples() -> Iterator[PaintedSample]:
        for seed in range(4):
            assert not any(ref() is not None for ref in alive)
            sample = painted_sample(seed)
            alive.append(weakref.ref(sample.features))
            yield sample
            del sample

    fit_interpreter(samples(), THREE, settings=replace(QUICK, max_steps=1))
    assert len(alive) == 4


def test_inference_mode_changes_nothing(tiny_generator: StyleGAN2) -> None:
    def fit() -> Interpreter:
        latents = sample_latents(tiny_generator, [3])
        synthesis = tiny_generator.synthesize(latents.ws, noise=latents.noise)
        label_map = (synthesis.image[0].mean(dim=0) > 0).long()
        sample = PaintedSample(synthesis.features, label_map)
        return fit_interpreter([sample], THREE, settings=replace(QUICK, max_steps=10))

    with torch.inference_mode():
        inside = fit()
    assert inside.digest == fit().digest


def test_a_label_grid_of_another_size() -> None:
    features = make_pyramid()
    value = F.interpolate(features.tensors[3][:, :1], size=(48, 40), mode="bilinear")[0, 0]
    label_map = torch.bucketize(value, torch.tensor([-0.5, 0.5]))
    settings = replace(QUICK, pixels_per_image=400)
    interpreter = fit_interpreter([PaintedSample(features, label_map)], THREE, settings=settings)
    prediction = interpreter.predict(features, size=(48, 40))
    assert (prediction.label_map[0] == label_map).float().mean() > 0.9


def test_progress() -> None:
    seen: list[FitProgress] = []
    settings = replace(QUICK, max_steps=25)
    fit_interpreter(
        [painted_sample(0), painted_sample(1)], THREE, settings=settings, on_progress=seen.append
    )
    assert [(p.stage, p.done, p.total) for p in seen] == [
        ("read", 1, None),
        ("read", 2, None),
        ("fit", 10, 25),
        ("fit", 20, 25),
        ("fit", 25, 25),
    ]
    assert all(p.loss is not None for p in seen[2:])


def unpainted() -> PaintedSample:
    return replace(painted_sample(1), label_map=torch.full((16, 16), 255))


def test_an_unpainted_sample_beside_a_painted_one() -> None:
    interpreter = fit_interpreter([painted_sample(0), unpainted()], THREE, settings=QUICK)
    assert interpreter.report is not None
    assert (interpreter.report.images, interpreter.report.pixels) == (2, 100)


@pytest.mark.parametrize("samples", [[], [unpainted()]])
def test_nothing_painted(samples: list[PaintedSample]) -> None:
    with pytest.raises(LabelError, match=f"nothing is painted in {len(samples)} samples"):
        fit_interpreter(samples, THREE)


def test_unknown_class() -> None:
    sample = painted_sample(7)
    sample.label_map[5, 5] = 3
    with pytest.raises(LabelError, match=r"sample-0007 holds class id 3.*ends at 2 \(high\)"):
        fit_interpreter([sample], THREE)


def test_samples_of_two_generators() -> None:
    other = PaintedSample(
        FeaturePyramid.from_tensors([torch.zeros(1, 3, 4, 4)]), torch.zeros(4, 4).long(), key="odd"
    )
    with pytest.raises(UsageError, match="painted sample odd do not fit"):
        fit_interpreter([painted_sample(0), other], THREE)


def test_features_that_are_not_finite() -> None:
    sample = painted_sample(2)
    sample.features.tensors[0].fill_(torch.inf)
    with pytest.raises(UsageError, match="sample-0002 hold NaN or infinite"):
        fit_interpreter([sample], THREE)


def test_a_fit_that_diverges() -> None:
    settings = replace(QUICK, learning_rate=1e38)
    with pytest.raises(UsageError, match="diverged at step 10 of 120"):
        fit_interpreter([painted_sample(0)], THREE, settings=settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_members", 0),
        ("batch", 1),
        ("max_epochs", 0),
        ("max_steps", 0),
        ("pixels_per_image", 0),
        ("seed", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
    ],
)
def test_bad_settings(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"fit setting {name} must be"):
        replace(FitSettings(), **{name: value})  # type: ignore[arg-type]
