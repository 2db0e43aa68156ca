"""Every engine against the same thing said literally: the stack of all levels, pixel by pixel."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.features import FeatureLevel, FeaturePyramid
from datasetgan.interpreter.ensemble.heads import HEADS, HeadName, build_head
from datasetgan.interpreter.ensemble.stacked import StackedHead
from datasetgan.interpreter.labelling import Area, LabelEngine, Labeller, LabelMaps
from datasetgan.interpreter.labelling.engines import fastest_engine
from datasetgan.interpreter.reference import hypercolumns

ENGINES: tuple[LabelEngine, ...] = ("plain", "numba")
CLASSES, MEMBERS = 5, 3
# The whole grid; one that no level has; a part, as of a picture that is not square.
AREAS = (
    Area.whole((32, 32)),
    Area.whole((45, 70)),
    Area((32, 32), top=4, left=0, height=24, width=32),
    Area((40, 40), top=3, left=5, height=30, width=33),
)


def make_levels(seed: int = 0, batch: int = 1) -> FeaturePyramid:
    """Two levels of full resolution, coarser ones, one with a margin, one that is not square."""
    shapes = ((7, 4, 4, 0), (6, 8, 8, 0), (5, 20, 20, 2), (4, 12, 16, 0), (3, 32, 32, 0))
    random = torch.Generator().manual_seed(seed)
    levels = tuple(
        FeatureLevel(f"level{i}", *shape) for i, shape in enumerate((*shapes, shapes[-1]))
    )
    tensors = [
        torch.randn(batch, level.channels, level.height, level.width, generator=random)
        for level in levels
    ]
    return FeaturePyramid(levels, tuple(tensors))


def make_head(name: HeadName, channels: int, *, classes: int = CLASSES) -> StackedHead:
    """Members whose weights and statistics are far from their start."""
    head = build_head(name, num_members=MEMBERS, in_channels=channels, num_outputs=classes)
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for key, tensor in head.state_dict().items():
            noise = torch.rand(tensor.shape, generator=random)
            tensor.copy_(noise + 0.1 if key.endswith("running_var") else noise - 0.5)
    return head.eval()


def literal(head: StackedHead, features: FeaturePyramid, area: Area) -> tuple[Tensor, ...]:
    """Return labels, divergence and mean probability of the area; all in float64."""
    stack = hypercolumns(features, size=area.size).double()
    padded = F.pad(stack, [head.halo] * 4, mode="replicate").permute(0, 2, 3, 1)  # [N, R, S, C]
    logits = head.double()(padded).permute(1, 0, 2, 3, 4)  # [N, M, R, S, K]
    head.float()
    probability = logits.softmax(dim=-1)
    votes = F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).sum(dim=1)
    mean = probability.mean(dim=1)
    entropy = torch.special.entr(mean).sum(-1) - torch.special.entr(probability).sum(-1).mean(1)
    part = (slice(None), area.rows, area.columns)
    return (
        # NumPy's argmax is bound to return the first of equals.
        torch.from_numpy(votes.numpy().argmax(axis=-1))[part],
        entropy.clamp(min=0)[part],
        mean.permute(0, 3, 1, 2)[:, :, area.rows, area.columns],
    )


def label(
    head: StackedHead,
    features: FeaturePyramid,
    area: Area,
    *,
    engine: LabelEngine,
    precision: str = "float32",
) -> LabelMaps:
    labeller = Labeller(head.fold(), [level.channels for level in features.levels])
    out = LabelMaps.empty(
        features.batch_size, area, num_classes=head.num_outputs, device=torch.device("cpu")
    )
    with torch.inference_mode():
        labeller.label(cropped(features), area, out=out, precision=precision, engine=engine)  # type: ignore[arg-type]
    return out


def cropped(features: FeaturePyramid) -> Sequence[Sequence[Tensor]]:
    return [
        [
            t[n, :, m : level.height - m, m : level.width - m]
            for level, t in features.items()
            for m in [level.margin]
        ]
        for n in range(features.batch_size)
    ]


@pytest.mark.parametrize("area", AREAS, ids=str)
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_says_what_the_stack_says(
    engine: LabelEngine, name: HeadName, area: Area
) -> None:
    features = make_levels(batch=2)
    head = make_head(name, features.channels)
    with torch.no_grad():
        labels, divergence, mean = literal(head, features, area)
    out = label(head, features, area, engine=engine)
    assert len(labels.unique()) > 2
    assert (out.label_map == labels).float().mean() > 0.9995
    assert out.probabilities is not None
    np.testing.assert_allclose(out.uncertainty, divergence, atol=3e-6)
    np.testing.assert_allclose(out.probabilities, mean, atol=3e-6)


@pytest.mark.parametrize("classes", [1, 2, 33])
def test_any_number_of_classes(classes: int) -> None:
    features = make_levels()
    head = make_head("paper", features.channels, classes=classes)  # 33: wider layers
    area = Area.whole((32, 32))
    with torch.no_grad():
        labels, divergence, _ = literal(head, features, area)
    out = label(head, features, area, engine="numba")
    assert torch.equal(out.label_map, labels)
    np.testing.assert_allclose(out.uncertainty, divergence, atol=3e-6)


def test_ties_go_to_the_smallest_class() -> None:
    features = make_levels()
    head = make_head("linear", features.channels)
    with torch.no_grad():  # members vote 4, 2, 3 everywhere
        head.layers[0].weight.zero_()  # type: ignore[operator]
        head.layers[0].bias.copy_(torch.eye(5)[[4, 2, 3]])  # type: ignore[operator]
    for engine in ENGINES:
        out = label(head, features, Area.whole((16, 16)), engine=engine)
        assert (out.label_map == 2).all()


def test_extreme_logits() -> None:
    """Probabilities of 0 and 1 to the last bit: no infinity, no NaN, no divergence below 0."""
    features = make_levels()
    head = make_head("linear", features.channels)
    with torch.no_grad():
        head.layers[0].weight.mul_(1e4)  # type: ignore[operator]
    area = Area.whole((32, 32))
    with torch.no_grad():
        labels, divergence, mean = literal(head, features, area)
    # Logits of 1e5 are rounded to 1e-2: that is all the difference there may be.
    out = label(head, features, area, engine="numba")
    assert torch.equal(out.label_map, labels)
    assert out.probabilities is not None
    np.testing.assert_allclose(out.uncertainty, divergence, atol=1e-3)
    np.testing.assert_allclose(out.probabilities, mean, atol=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_features_that_are_not_numbers_show(engine: LabelEngine) -> None:
    features = make_levels()
    features.tensors[1][0, :, 3, 3] = torch.nan
    out = label(
        make_head("paper", features.channels), features, Area.whole((32, 32)), engine=engine
    )
    assert out.uncertainty[0, 12:16, 12:16].isnan().all()


@pytest.mark.parametrize("name", ["paper", "conv"])
def test_neither_threads_nor_neighbours_matter(name: HeadName) -> None:
    features = make_levels(batch=5)
    head = make_head(name, features.channels)
    area = Area.whole((200, 40))  # several bands
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = label(head, features, area, engine="numba")
        torch.set_num_threads(3)
        three = label(head, features, area, engine="numba")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    alone = label(
        head,
        FeaturePyramid(features.levels, tuple(t[3:4] for t in features.tensors)),
        area,
        engine="numba",
    )
    assert torch.equal(one.label_map, three.label_map)
    assert torch.equal(one.uncertainty, three.uncertainty)
    assert torch.equal(one.uncertainty[3:4], alone.uncertainty)


@pytest.mark.parametrize("name", HEADS)
def test_bfloat16_is_close(name: HeadName) -> None:
    features = make_levels()
    head = make_head(name, features.channels)
    area = Area.whole((32, 32))
    exact = label(head, features, area, engine="numba")
    close = label(head, features, area, engine="numba", precision="bfloat16")
    assert exact.probabilities is not None
    assert close.probabilities is not None
    assert not torch.equal(exact.probabilities, close.probabilities)
    assert (exact.label_map == close.label_map).float().mean() > 0.97
    assert (exact.probabilities - close.probabilities).abs().mean() < 0.02


def test_the_compiled_engine_is_taken_on_cpus() -> None:
    assert fastest_engine(make_head("conv", 9).fold(), [4, 5]).engine == "numba"


@pytest.mark.parametrize("area", AREAS, ids=str)
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("engine", ENGINES)
def test_outputs_are_those_of_every_member(engine: LabelEngine, name: HeadName, area: Area) -> None:
    features = make_levels(batch=2)
    head = make_head(name, features.channels)
    labeller = Labeller(head.fold(), [level.channels for level in features.levels])
    stack = hypercolumns(features, size=area.size).double()
    padded = F.pad(stack, [head.halo] * 4, mode="replicate").permute(0, 2, 3, 1)  # [N, R, S, C]
    with torch.no_grad():
        expected = head.double()(padded).permute(1, 0, 4, 2, 3)  # [N, M, K, R, S]
    out = labeller.outputs(cropped(features), area, engine=engine)
    assert out.dtype == torch.float32
    np.testing.assert_allclose(
        out, expected[..., area.rows, area.columns], rtol=1e-5, atol=1e-5 * expected.abs().max()
    )


def test_outputs_come_from_the_compiled_engine_and_never_from_the_kernel() -> None:
    features = make_levels()
    area = Area.whole((32, 32))
    head = make_head("paper", features.channels).fold()
    labeller = Labeller(head, [level.channels for level in features.levels])
    fast = labeller.outputs(cropped(features), area)
    assert torch.equal(fast, labeller.outputs(cropped(features), area, engine="numba"))
    close = labeller.outputs(cropped(features), area, precision="bfloat16")
    assert not torch.equal(fast, close)
    torch.testing.assert_close(fast, close, rtol=0, atol=0.1 * float(fast.abs().max()))
    with pytest.raises(UsageError, match=r"labelling engine 'triton'.*Valid: plain, numba\."):
        labeller.outputs(cropped(features), area, engine="triton")


def test_unknown_choices() -> None:
    features = make_levels()
    head = make_head("paper", features.channels)
    area = Area.whole((8, 8))
    with pytest.raises(UsageError, match=r"plain.*numba.*triton"):
        label(head, features, area, engine="cuda")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="float32"):
        label(head, features, area, engine="plain", precision="bfloat16")
    with pytest.raises(UsageError, match="bfloat16"):
        label(head, features, area, engine="numba", precision="float16")


@pytest.mark.parametrize("area", [(0, 0, 0, 8), (0, 0, 9, 8), (-1, 0, 4, 4), (0, 5, 4, 4)], ids=str)
def test_areas_lie_within_the_grid(area: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError, match=r"within 8 rows and 8 columns"):
        Area((8, 8), *area)
