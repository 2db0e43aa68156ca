"""The layout of one member, and the stack against members one by one."""

import pytest
import torch
import torch.nn.functional as F

from datasetgan.errors import UsageError
from datasetgan.interpreter import PixelClassifier, StackedClassifiers
from tests.interpreter.conftest import make_members


@pytest.mark.parametrize(("num_classes", "widths"), [(31, (128, 32)), (32, (256, 128))])
def test_layout(num_classes: int, widths: tuple[int, int]) -> None:
    shapes = {k: tuple(v.shape) for k, v in PixelClassifier(50, num_classes).named_parameters()}
    first, second = widths
    assert shapes == {
        "layers.0.weight": (first, 50),
        "layers.0.bias": (first,),
        "layers.2.weight": (first,),
        "layers.2.bias": (first,),
        "layers.3.weight": (second, first),
        "layers.3.bias": (second,),
        "layers.5.weight": (second,),
        "layers.5.bias": (second,),
        "layers.6.weight": (num_classes, second),
        "layers.6.bias": (num_classes,),
    }


def test_parameters_of_the_paper() -> None:
    # 0.65 M for car-20 on 5056 channels, 1.34 M for face-34 on 5088.
    car = sum(p.numel() for p in PixelClassifier(5056, 20).parameters())
    face = sum(p.numel() for p in PixelClassifier(5088, 34).parameters())
    assert (round(car / 1e6, 2), round(face / 1e6, 2)) == (0.65, 1.34)


def test_start_values() -> None:
    member = PixelClassifier(1000, 5, seed=3)
    weight = member.layers[0].weight
    assert weight.std().item() == pytest.approx(0.02, rel=0.01)
    assert abs(weight.mean().item()) < 2e-4
    assert not member.layers[0].bias.any()
    assert torch.equal(weight, PixelClassifier(1000, 5, seed=3).layers[0].weight)
    assert not torch.equal(weight, PixelClassifier(1000, 5, seed=4).layers[0].weight)
    assert not torch.equal(weight, PixelClassifier(1000, 5, seed=3, member=1).layers[0].weight)


def test_the_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    PixelClassifier(10, 5)
    StackedClassifiers(2, 10, 5)
    assert torch.equal(before, torch.get_rng_state())


def test_relu_stands_before_normalisation() -> None:
    (member,) = make_members(1, 6, 5)
    x = torch.randn(9, 6)
    state = member.state_dict()
    hidden = x
    for linear, norm in (("layers.0", "layers.2"), ("layers.3", "layers.5")):
        hidden = (hidden @ state[f"{linear}.weight"].T + state[f"{linear}.bias"]).clamp(min=0)
        deviation = (state[f"{norm}.running_var"] + 1e-5).sqrt()
        hidden = (hidden - state[f"{norm}.running_mean"]) / deviation
        hidden = hidden * state[f"{norm}.weight"] + state[f"{norm}.bias"]
    expected = hidden @ state["layers.6.weight"].T + state["layers.6.bias"]
    assert torch.allclose(member(x), expected, rtol=1e-4, atol=1e-4)


def test_training_steps_are_those_of_the_members() -> None:
    members = make_members(3, 12, 5)
    stacked = StackedClassifiers.from_members(members).train()
    optimizers = [torch.optim.Adam(m.train().parameters(), lr=1e-2) for m in members]
    together = torch.optim.Adam(stacked.parameters(), lr=1e-2)
    random = torch.Generator().manual_seed(0)
    for _ in range(4):
        x = torch.randn(3, 20, 12, generator=random)
        y = torch.randint(0, 5, (3, 20), generator=random)
        logits = stacked(x)
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum") / 20
        together.zero_grad()
        loss.backward()
        together.step()
        for m, (member, optimizer) in enumerate(zip(members, optimizers, strict=True)):
            alone = member(x[m])
            assert torch.allclose(alone, logits[m], atol=1e-3)
            optimizer.zero_grad()
            F.cross_entropy(alone, y[m]).backward()
            optimizer.step()
    for m, member in enumerate(members):
        own = stacked.member(m).state_dict()
        for name, tensor in member.state_dict().items():
            if tensor.is_floating_point():
                assert torch.allclose(own[name], tensor, atol=2e-3), name


def test_stacking_keeps_every_member() -> None:
    members = make_members(3, 12, 34)
    stacked = StackedClassifiers.from_members(members)
    for m, member in enumerate(members):
        own = stacked.member(m).state_dict()
        for name, tensor in member.state_dict().items():
            assert torch.equal(own[name], tensor), name


def test_folding_changes_nothing() -> None:
    members = make_members(3, 12, 5)
    stacked = StackedClassifiers.from_members(members).eval()
    x = torch.randn(40, 12)
    folded = stacked.fold()
    hidden = x @ folded.first_weight.T + folded.first_bias
    with torch.no_grad():
        logits = folded.outputs(hidden[:, None])[:, :, 0]
        for m, member in enumerate(members):
            expected = member(x)
            assert torch.allclose(logits[m], expected, atol=1e-4 * expected.abs().max().item())
            assert torch.allclose(stacked(x.expand(3, -1, -1))[m], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "make", [lambda: StackedClassifiers(0, 3, 5), lambda: StackedClassifiers.from_members([])]
)
def test_no_members(make: object) -> None:
    with pytest.raises(UsageError, match="at least one member, got 0"):
        make()  # type: ignore[operator]
