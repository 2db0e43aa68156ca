"""How much coarse levels may say: the scaling, and its choice on held-out images."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from datasetgan.checkpoints.native import WeightCard
from datasetgan.errors import UsageError
from datasetgan.features import FeatureLevel, FeaturePyramid
from datasetgan.features.cache import FeatureCache
from datasetgan.features.input_spec import InputSpec
from datasetgan.features.painted import PaintedImages, cache_samples
from datasetgan.interpreter import FitSettings, PaintedSample, fit_interpreter, load_interpreter
from datasetgan.interpreter.ensemble.heads import build_head
from datasetgan.interpreter.fitting.choose_inputs import FALLOFFS, choose_inputs
from datasetgan.interpreter.fitting.losses import label_loss
from datasetgan.interpreter.fitting.painted_pixels import painted_pixels
from datasetgan.interpreter.fitting.pixel_source import InputScaling, PixelSource
from datasetgan.interpreter.fitting.trainer import Task
from datasetgan.taxonomy import ClassTaxonomy
from tests.interpreter.conftest import QUICK, make_pyramid, painted_sample

TWO = ClassTaxonomy.from_names(["background", "thing"])
CPU = torch.device("cpu")


def images(told_by: str, *, count: int = 6) -> PaintedImages:
    """Images of a coarse and a fine level, one of which tells the class.

    The coarse level's 40 channels are each image's own; where it tells, one more
    agrees among images.
    """
    random = torch.Generator().manual_seed(3)
    samples = []
    for _ in range(count):
        coarse = torch.randn(1, 40, 4, 4, generator=random)
        fine = torch.randn(1, 3, 16, 16, generator=random)
        if told_by == "coarse":
            # Nothing fine helps: the sign of a smooth map decides.
            coarse[:, 0] *= 3
            smooth = torch.nn.functional.interpolate(
                coarse[:, :1], size=16, mode="bilinear", align_corners=False
            )
            label_map = (smooth[0, 0] > 0).long()
        elif told_by == "surroundings":
            # A pixel alone hardly shows the shift of its neighbourhood.
            shift = torch.randn(1, 1, 4, 4, generator=random)
            smooth = torch.nn.functional.interpolate(
                shift, size=16, mode="bilinear", align_corners=False
            )
            fine[:, :1] += 0.7 * smooth
            label_map = (smooth[0, 0] > 0).long()
        else:
            label_map = (fine[0, 0] > 0).long()
        samples.append(PaintedSample(FeaturePyramid.from_tensors([coarse, fine]), label_map))
    return cache_samples(samples, TWO, cache=FeatureCache())


def pixels(painted: PaintedImages, numbers: Sequence[int], *, count: int, read: str) -> PixelSource:
    inputs = InputSpec(painted.cache.levels, read)  # type: ignore[arg-type]
    return painted_pixels(
        painted,
        numbers,
        inputs=inputs,
        pixels_per_image=count,
        sampling="balanced",
        halo=0,
        seed=0,
        device=CPU,
    )


def chosen(painted: PaintedImages, numbers: list[int] | None = None, **fixed: Any) -> InputSpec:
    source = pixels(painted, numbers or range(len(painted.keys)), count=256, read="blocks")
    settings = FitSettings(batch=128)
    task = Task(
        head="mlp", num_members=10, num_outputs=2, loss=label_loss, recipe=settings.recipe, seed=0
    )
    return choose_inputs(source, task, **fixed)


def spread(center: float, num_members: int) -> tuple[float | None, ...]:
    inputs = InputSpec(make_pyramid().levels, "none", center, "none")
    return tuple(member.level_falloff for member in inputs.spread(num_members))


def test_the_spread_is_even_and_starts_at_zero() -> None:
    assert spread(4, 5) == (2, 3, 4, 5, 6)
    assert spread(1, 4) == (0, 1, 2, 3)
    assert spread(0, 3) == (0, 0, 0)
    assert spread(2, 1) == (2,)


def test_a_coarse_level_that_only_invites_memory_is_turned_down() -> None:
    assert chosen(images("fine")).level_falloff == max(FALLOFFS)


def test_a_coarse_level_that_tells_is_kept() -> None:
    assert chosen(images("coarse")).level_falloff < max(FALLOFFS)


def test_surroundings_that_tell_are_heeded() -> None:
    assert chosen(images("surroundings")).heeded == "blocks"
    # Noise of every image's own is not.
    assert chosen(images("fine")).heeded == "none"


def test_what_is_fixed_is_not_tried() -> None:
    assert chosen(images("fine"), surroundings="blocks").heeded == "blocks"
    fixed = chosen(images("fine"), level_falloff=1.5, surroundings="blocks")
    assert (fixed.level_falloff, fixed.heeded) == (1.5, "blocks")


def test_one_image_alone_cannot_be_held_out() -> None:
    found = chosen(images("fine"), [2])
    assert (found.level_falloff, found.heeded) == (FALLOFFS[1], "blocks")


def test_each_member_has_its_own_powers_of_the_height() -> None:
    painted = cache_samples([painted_sample(0)], ClassTaxonomy.from_names(["a", "b", "c"]))
    source = pixels(painted, [0], count=50, read="none")
    scaling = InputScaling.measured(
        source,
        normalization="levels",
        members=[source.inputs.weighing(power, "none") for power in (0, 2)],
    )
    assert scaling is not None
    assert (scaling.member_scale[0] == 1).all()
    # 4, 8, 16 and 16 rows: the margin of the third level does not count.
    expected = [1 / 16] * 6 + [1 / 4] * 5 + [1.0] * 7
    torch.testing.assert_close(scaling.member_scale[1], torch.tensor(expected))


def test_folding_the_scaling_in_changes_nothing_and_can_be_undone() -> None:
    painted = cache_samples([painted_sample(0)], ClassTaxonomy.from_names(["a", "b", "c"]))
    source = pixels(painted, [0], count=50, read="none")
    scaling = InputScaling.measured(
        source,
        normalization="channels",
        members=[source.inputs.weighing(power, "none") for power in (0, 1.5, 3)],
    )
    assert scaling is not None
    head = build_head("mlp", num_members=3, in_channels=18, num_outputs=3).eval()
    x = source.read(torch.arange(40)).features
    scaled = (x - scaling.mean) * scaling.scale
    wanted = head(scaled, input_scale=scaling.member_scale)
    one_by_one = torch.stack([head(scaled * s)[m] for m, s in enumerate(scaling.member_scale)])
    torch.testing.assert_close(wanted, one_by_one)
    raw = deepcopy(head)
    scaling.fold_into(raw)
    torch.testing.assert_close(raw(x), wanted, atol=1e-4, rtol=1e-4)
    scaling.unfold_from(raw)
    torch.testing.assert_close(raw.layers[0].weight, head.layers[0].weight, atol=1e-5, rtol=1e-4)


def test_a_refit_keeps_what_was_chosen() -> None:
    painted = images("fine")
    settings = replace(QUICK, max_steps=5, warm_steps=2)
    first = fit_interpreter(painted, TWO, settings=settings)
    assert first.ensemble.inputs.level_falloff in FALLOFFS
    given = fit_interpreter(painted, TWO, settings=replace(settings, level_falloff=0.5))
    assert given.ensemble.inputs.level_falloff == 0.5
    again = fit_interpreter(painted, TWO, settings=settings, start=given)
    assert again.ensemble.inputs == given.ensemble.inputs


def test_a_refit_from_a_file_keeps_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    painted = images("fine")
    settings = replace(QUICK, max_steps=5, warm_steps=2)
    first = fit_interpreter(painted, TWO, settings=replace(settings, level_falloff=0.5))
    path = tmp_path / "interpreter.safetensors"
    first.save(path, card=WeightCard(title="a fit"))
    start = load_interpreter(path)
    assert start.ensemble.inputs == first.ensemble.inputs

    def search(*_: object, **__: object) -> InputSpec:
        raise AssertionError("what was chosen is searched for again")

    monkeypatch.setattr("datasetgan.interpreter.fitting.run.choose_inputs", search)
    again = fit_interpreter(painted, TWO, settings=settings, start=start)
    assert again.ensemble.inputs == first.ensemble.inputs
    assert again.digest != first.digest


def test_a_file_that_does_not_say_is_searched_within_what_it_reads() -> None:
    painted = images("fine")
    settings = replace(QUICK, max_steps=5, warm_steps=2, surroundings="none")
    first = fit_interpreter(painted, TWO, settings=settings)
    old = replace(first.ensemble, inputs=InputSpec(painted.cache.levels))
    start = replace(first, ensemble=old)
    again = fit_interpreter(painted, TWO, settings=replace(settings), start=start)
    assert again.ensemble.inputs.level_falloff in FALLOFFS
    assert again.ensemble.inputs.surroundings == "none"
    assert start.digest == first.digest


def test_a_level_of_another_height_counts_by_its_picture() -> None:
    level = FeatureLevel("canvas", 2, 36, 36, 10)
    fine = FeatureLevel("fine", 1, 32, 32, 0)
    features = FeaturePyramid((level, fine), (torch.randn(1, 2, 36, 36), torch.randn(1, 1, 32, 32)))
    sample = PaintedSample(features, torch.zeros(32, 32).long())
    painted = cache_samples([sample], TWO)
    source = pixels(painted, [0], count=9, read="none")
    scaling = InputScaling.measured(
        source, normalization="levels", members=[source.inputs.weighing(1, "none")]
    )
    assert scaling is not None
    torch.testing.assert_close(scaling.member_scale, torch.tensor([[0.5, 0.5, 1.0]]))


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_bad_falloff(value: float) -> None:
    with pytest.raises(UsageError, match="level_falloff must be 0 or more"):
        FitSettings(level_falloff=value)


def test_a_falloff_of_raw_features() -> None:
    with pytest.raises(UsageError, match="Leave one of them out"):
        FitSettings(level_falloff=2, normalization="none")
    assert FitSettings(normalization="none").level_falloff == 0


def test_surroundings_that_are_not_heeded_have_no_weight() -> None:
    painted = images("fine", count=1)
    source = pixels(painted, [0], count=9, read="blocks")
    scaling = InputScaling.measured(
        source,
        normalization="levels",
        members=[source.inputs.weighing(0, heeded) for heeded in ("none", "blocks")],
    )
    assert scaling is not None
    assert scaling.member_scale[:, 43:].tolist() == [[0.0] * 3, [1.0] * 3]
    raw = build_head("mlp", num_members=2, in_channels=46, num_outputs=2)
    scaling.fold_into(raw)
    assert (raw.layers[0].weight[0, :, 43:] == 0).all()
    scaling.unfold_from(raw)
    assert raw.layers[0].weight.isfinite().all()
