"""Fitting: what is learned, what is reported, what is refused."""

import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F

from datasetgan.errors import LabelError, TrainingError, UsageError
from datasetgan.features import FeaturePyramid
from datasetgan.features.painted import PaintedImages, cache_samples
from datasetgan.generators import StyleGAN2, sample_latents
from datasetgan.interpreter import (
    FitProgress,
    FitSettings,
    Interpreter,
    PaintedSample,
    fit_interpreter,
)
from datasetgan.interpreter.ensemble.classifier import StackedClassifiers
from datasetgan.interpreter.ensemble.heads import HeadName
from datasetgan.interpreter.fitting.fit import FoldFitter
from datasetgan.interpreter.fitting.pixel_source import draw_items
from datasetgan.interpreter.reference import fit_members
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
    assert fitted.ensemble.generator_digest == "b" * 64


def test_a_fit_repeats_itself() -> None:
    quick = replace(QUICK, max_steps=5)

    def digest(settings: FitSettings) -> str:
        samples = (painted_sample(seed) for seed in range(2))
        return fit_interpreter(samples, THREE, settings=settings).digest

    assert digest(quick) == digest(quick)
    assert digest(quick) != digest(replace(quick, seed=1))


def test_members_differ_in_start_and_order() -> None:
    orders = [next(draw_items(100, batch=32, seed=0, member=m)).tolist() for m in range(2)]
    assert orders[0] != orders[1]
    interpreter = fit_interpreter([painted_sample(0)], THREE, settings=replace(QUICK, max_steps=1))
    weight = interpreter.ensemble.members.layers[0].weight
    assert not torch.allclose(weight[0], weight[1], atol=1e-2)


def test_batches_go_through_every_pixel_once_an_epoch() -> None:
    batches = draw_items(10, batch=4, seed=0, member=0)
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
    value = F.interpolate(features.tensors[3][:, :1], size=(48, 48), mode="bilinear")[0, 0]
    label_map = torch.bucketize(value, torch.tensor([-0.5, 0.5]))
    settings = replace(QUICK, pixels_per_image=400)
    interpreter = fit_interpreter([PaintedSample(features, label_map)], THREE, settings=settings)
    prediction = interpreter.predict(features, size=(48, 48))
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
    with pytest.raises(TrainingError, match="diverged at step 10 of 120"):
        fit_interpreter([painted_sample(0)], THREE, settings=settings)


def test_features_beyond_float16() -> None:
    samples = [painted_sample(seed) for seed in range(2)]
    plain = fit_interpreter(samples, THREE, settings=replace(QUICK, level_falloff=0.0))
    for sample in samples:
        for tensor in sample.features.tensors:
            tensor.mul_(1e6)
    large = fit_interpreter(samples, THREE, settings=replace(QUICK, level_falloff=0.0))
    assert plain.report is not None
    assert large.report is not None
    assert large.report.final_loss == pytest.approx(plain.report.final_loss, abs=0.05)


def painted_images(count: int = 4) -> PaintedImages:
    return cache_samples((painted_sample(seed) for seed in range(count)), THREE)


@pytest.mark.parametrize("head", get_args(HeadName))
def test_every_head_learns(head: HeadName) -> None:
    steps = 300 if head == "paper" else 80
    rate = 0.1 if head == "linear" else 5e-3
    settings = FitSettings(head=head, num_members=2, learning_rate=rate, batch=64, max_steps=steps)
    interpreter = fit_interpreter(painted_images(), THREE, settings=settings)
    unseen = painted_sample(50, unpainted=False)
    prediction = interpreter.predict(unseen.features)
    inner = (slice(1, -1), slice(1, -1))
    correct = prediction.label_map[0][inner] == unseen.label_map[inner]
    assert correct.float().mean() > 0.85


def test_the_paper_head_walks_as_the_reference_does() -> None:
    # 5 x 64 pixels: both go through epochs of five full batches.
    samples = []
    for seed in range(2):
        sample = painted_sample(seed, unpainted=False)
        sample.label_map[:6] = 255
        samples.append(sample)  # 160 pixels each
    # Features that float16 holds exactly, so that the cache rounds nothing.
    for sample in samples:
        for tensor in sample.features.tensors:
            tensor.copy_((tensor * 8).round() / 8)
    settings = FitSettings(head="paper", num_members=2, max_epochs=3, seed=5)
    ours = fit_interpreter(samples, THREE, settings=settings)
    reference = fit_members(samples, num_classes=3, num_members=2, seed=5, max_epochs=3)
    assert ours.report is not None
    assert ours.report.steps == 15
    classifiers = ours.ensemble.members
    assert isinstance(classifiers, StackedClassifiers)
    for m, member in enumerate(reference):
        own = classifiers.member(m).state_dict()
        for name, tensor in member.state_dict().items():
            if tensor.is_floating_point():
                torch.testing.assert_close(own[name], tensor, atol=2e-3, rtol=2e-3)


def test_the_official_rule_ends_each_member_of_the_paper_head() -> None:
    settings = FitSettings(head="paper", num_members=2, learning_rate=1e-12)
    report = fit_interpreter([painted_sample(0)] * 2, THREE, settings=settings).report
    assert report is not None
    per_epoch = 416 / 64
    # Nothing is learned: four epochs, then more than 50 batches without a lasting best.
    assert 4 * per_epoch + 51 <= report.steps < 100 * per_epoch


@pytest.mark.parametrize(
    "change",
    [
        {"normalization": "none"},
        {"normalization": "channels"},
        {"level_falloff": 1.0},
        {"surroundings": "none"},
        {"sampling": "uniform"},
        {"sampling": "regions"},
    ],
)
def test_every_choice_learns_in_its_own_way(change: dict[str, Any]) -> None:
    settings = replace(QUICK, num_members=2, max_steps=80, batch=128)
    images = painted_images(3)
    changed = fit_interpreter(images, THREE, settings=replace(settings, **change))
    assert changed.digest != fit_interpreter(images, THREE, settings=settings).digest
    sample = painted_sample(0, unpainted=False)
    found = changed.predict(sample.features).label_map[0]
    assert (found == sample.label_map)[4:-1, 1:-1].float().mean() > 0.75
    crops = replace(settings, head="conv", max_steps=2)
    changed = fit_interpreter(images, THREE, settings=replace(crops, **change))
    assert changed.digest != fit_interpreter(images, THREE, settings=crops).digest


def test_a_warm_start_goes_on_from_an_earlier_fit() -> None:
    settings = replace(QUICK, warm_steps=10, sampling="uniform")
    images = painted_images()
    cold = fit_interpreter(images, THREE, settings=settings)
    warm = fit_interpreter(images, THREE, settings=settings, start=cold)
    anew = fit_interpreter(images, THREE, settings=replace(settings, max_steps=10))
    assert warm.report is not None
    assert anew.report is not None
    assert warm.report.steps == 10
    assert warm.report.final_loss < anew.report.final_loss / 2


def test_a_warm_start_from_another_ensemble() -> None:
    images = painted_images(1)
    settings = replace(QUICK, max_steps=1)
    start = fit_interpreter(images, THREE, settings=settings)
    with pytest.raises(UsageError, match=r"this fit has 2 members .* has 3 for 3"):
        fit_interpreter(images, THREE, settings=replace(settings, num_members=2), start=start)


def test_stopping_within_the_budget_walks_the_same_way() -> None:
    images = painted_images()
    early = fit_interpreter(images, THREE, settings=QUICK, steps=30)
    assert early.report is not None
    assert early.report.steps == 30
    fitter = FoldFitter(images, THREE, QUICK)
    assert fitter.steps == 120
    # A fold that holds out nothing is the fit itself.
    by_step = {step: found for step, (found,) in fitter(((),), (30, 120))}
    assert by_step[30].digest == early.digest
    assert by_step[120].digest == fit_interpreter(images, THREE, settings=QUICK).digest


@pytest.mark.parametrize("head", ["mlp", "conv"])
def test_a_fold_never_sees_its_images(head: HeadName) -> None:
    settings = replace(QUICK, head=head, num_members=2, max_steps=10)
    images = painted_images()
    changed = list(images.label_maps)
    changed[1] = (changed[1] + 1).remainder(3)
    other = replace(images, label_maps=tuple(changed))

    def digests(painted: PaintedImages) -> list[str]:
        fitter = FoldFitter(painted, THREE, settings)
        return [i.digest for _, found in fitter(((0,), (1, 2)), (5, 10)) for i in found]

    ours, theirs = digests(images), digests(other)
    assert [a == b for a, b in zip(ours, theirs, strict=True)] == [False, True, False, True]


def test_two_classes_with_one_pixel_each() -> None:
    label_map = torch.full((16, 16), 255)
    label_map[3, 4], label_map[12, 9] = 1, 2
    sample = PaintedSample(make_pyramid(), label_map)
    for head in get_args(HeadName):
        settings = FitSettings(head=head, num_members=2, max_steps=30, learning_rate=1e-2, batch=64)
        found = fit_interpreter([sample], THREE, settings=settings).predict(sample.features)
        assert found.uncertainty.isfinite().all()
        if head in ("mlp", "linear"):
            assert found.label_map[0, 3, 4] == 1
            assert found.label_map[0, 12, 9] == 2


def test_a_label_map_of_another_shape() -> None:
    sample = replace(painted_sample(3), label_map=torch.zeros(48, 40).long())
    with pytest.raises(LabelError, match="sample-0003 is 48 x 40, but its picture is 16 x 16"):
        fit_interpreter([sample], THREE)
