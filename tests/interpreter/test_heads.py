"""Every head keeps the contract: add a name to `HEADS` and it is tested."""

from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.interpreter.ensemble.classifier import PixelClassifier
from datasetgan.interpreter.ensemble.heads import HEADS, HeadName, build_head, head_halo
from datasetgan.interpreter.ensemble.stacked import StackedBatchNorm, StackedDropout, StackedHead

NAMES: tuple[HeadName, ...] = get_args(HeadName)
M, C, K = 3, 12, 5

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=NAMES)
def head(request: pytest.FixtureRequest) -> StackedHead:
    """A head far from its start."""
    head = build_head(request.param, num_members=M, in_channels=C, num_outputs=K, seed=3)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in head.state_dict().items():
            tensor.mul_(5).add_(0.2 * torch.randn(tensor.shape, generator=random))
            if name.endswith("running_var"):
                tensor.abs_().add_(0.1)
    return head.eval()


def crops(head: StackedHead, *, count: int = 4, side: int = 5) -> Tensor:
    random = torch.Generator().manual_seed(1)
    side += 2 * head.halo
    return torch.randn(count, side, side, C, generator=random)


def test_every_name_is_registered() -> None:
    assert set(HEADS) == set(NAMES)
    for name in NAMES:
        assert build_head(name, num_members=1, in_channels=2, num_outputs=2).name == name


def test_shapes(head: StackedHead) -> None:
    assert (head.num_members, head.in_channels, head.num_outputs) == (M, C, K)
    assert head(crops(head)).shape == (M, 4, 5, 5, K)
    if not head.halo:
        assert head(torch.randn(7, C)).shape == (M, 7, K)
        assert head(torch.randn(M, 7, C)).shape == (M, 7, K)


def test_shared_pixels_are_pixels_of_each(head: StackedHead) -> None:
    if head.halo:
        pytest.skip("reads crops only")
    x = torch.randn(7, C)
    torch.testing.assert_close(head(x), head(x.expand(M, -1, -1)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(head(x), head(x[:, None, None])[:, :, 0, 0], rtol=1e-4, atol=1e-4)


def test_members_are_independent(head: StackedHead) -> None:
    x = crops(head)
    before = head(x)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter[1] += 1.0
    after = head(x)
    assert torch.equal(after[[0, 2]], before[[0, 2]])
    assert not torch.equal(after[1], before[1])


def test_folding_changes_nothing(head: StackedHead) -> None:
    folded = head.fold()
    assert (folded.num_members, folded.num_outputs, folded.halo) == (M, K, head.halo)
    with torch.no_grad():
        for crop in crops(head):
            hidden = crop @ folded.first_weight.T + folded.first_bias
            expected = head(crop[None])[:, 0]
            scale = expected.abs().max().item()
            torch.testing.assert_close(
                folded.outputs(hidden), expected, rtol=1e-4, atol=1e-4 * scale
            )


def test_starts_differ_and_repeat(head: StackedHead) -> None:
    for name in NAMES:
        a, b = (
            build_head(name, num_members=M, in_channels=C, num_outputs=K, seed=3) for _ in range(2)
        )
        weight = a.layers[0].weight
        assert torch.equal(weight, b.layers[0].weight)
        assert not torch.equal(weight[0], weight[1])


def test_training_repeats_and_leaves_the_global_random_state_alone(head: StackedHead) -> None:
    before = torch.get_rng_state()

    def outputs() -> Tensor:
        fresh = build_head("mlp", num_members=M, in_channels=C, num_outputs=K, seed=3).train()
        return fresh(torch.ones(6, C))

    assert torch.equal(outputs(), outputs())
    head.train()(crops(head))
    assert torch.equal(torch.get_rng_state(), before)


def test_every_parameter_learns(head: StackedHead) -> None:
    head.train()
    head(crops(head)).square().sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_paper_starts_as_single_classifiers_do() -> None:
    head = build_head("paper", num_members=2, in_channels=C, num_outputs=K, seed=4)
    for m in range(2):
        alone = PixelClassifier(C, K, seed=4, member=m).state_dict()
        for name, tensor in head.state_dict().items():
            assert torch.equal(tensor[m], alone[name]), name


def test_context_sees_neighbours() -> None:
    head = build_head("conv", num_members=1, in_channels=C, num_outputs=K).eval()
    x = torch.randn(1, 5, 5, C)
    before = head(x)
    x[0, 0, 0] += 10.0  # the halo's corner: the outputs' corner alone
    changed = (head(x) != before).any(dim=-1)[0, 0]
    assert changed.nonzero().tolist() == [[0, 0]]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
def test_batch_norm_of_any_memory_order(order: tuple[int, ...]) -> None:
    norm = StackedBatchNorm(M, 4).train()
    x = torch.randn(*[(M, 9, 4)[i] for i in order]).permute(*order)
    for m, found in enumerate(norm(x)):
        torch.testing.assert_close(found, F.batch_norm(x[m], None, None, training=True))


@pytest.mark.parametrize("transposed", [False, True])
def test_dropout(transposed: bool) -> None:
    x = torch.ones(40, 50, 60)
    x = x.transpose(0, 1) if transposed else x
    dropout = StackedDropout(0.25, seed=0)
    y = dropout.train()(x)
    assert y.eq(0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert y.unique().tolist() == pytest.approx([0, 4 / 3])
    assert not torch.equal(y, dropout(x))
    assert dropout.eval()(x) is x


def test_bad_requests() -> None:
    with pytest.raises(UsageError, match=r"unknown head 'mpl'\. Did you mean 'mlp'"):
        build_head("mpl", num_members=1, in_channels=1, num_outputs=1)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at least one member, got 0"):
        build_head("mlp", num_members=0, in_channels=1, num_outputs=1)
    with pytest.raises(UsageError, match="got 0 and 2"):
        build_head("mlp", num_members=1, in_channels=0, num_outputs=2)


@pytest.mark.parametrize("name", HEADS)
def test_a_heads_halo_is_known_before_it_is_built(name: HeadName) -> None:
    head = build_head(name, num_members=1, in_channels=3, num_outputs=2)
    assert head.halo == head_halo(name)
