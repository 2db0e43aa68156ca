"""The discriminator: its layers by hand, its sizes, its classes, what it may mix."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from datasetgan.errors import UsageError
from datasetgan.gan_training.discriminator import Discriminator, append_minibatch_deviation


def build_discriminator(resolution: int, *, label_dim: int = 0) -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(
        resolution, image_channels=3, channel_base=2048, channel_max=8, label_dim=label_dim
    )


def test_minibatch_deviation_by_hand() -> None:
    x = torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    out = append_minibatch_deviation(x, group=3)
    assert out.shape == (6, 3, 3, 3)
    assert torch.equal(out[:, :2], x)
    for start in (0, 3):
        expected = np.sqrt(x[start : start + 3].numpy().var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(out[start : start + 3, 2].numpy(), expected, rtol=1e-5)


def test_groups_do_not_mix_photographs_with_pictures() -> None:
    real, fake = torch.randn(4, 2, 3, 3), 100 * torch.randn(4, 2, 3, 3)
    together = append_minibatch_deviation(torch.cat([real, fake]))
    torch.testing.assert_close(together[:4], append_minibatch_deviation(real))


def test_a_group_that_does_not_divide_shrinks() -> None:
    assert append_minibatch_deviation(torch.randn(5, 1, 2, 2)).shape == (5, 2, 2, 2)


def test_the_group_is_the_settings() -> None:
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    def logits(group: int) -> torch.Tensor:
        torch.manual_seed(0)
        network = Discriminator(8, image_channels=3, channel_base=64, channel_max=8, group=group)
        out: torch.Tensor = network(images)
        return out

    # A group of one sees each image by itself.
    torch.manual_seed(0)
    alone = Discriminator(8, image_channels=3, channel_base=64, channel_max=8)
    torch.testing.assert_close(logits(1), torch.cat([alone(x[None]) for x in images]))
    assert not torch.allclose(logits(1), logits(4), atol=1e-4)


@pytest.mark.parametrize(
    ("resolution", "label_dim"), [(4, 0), (4, 5), (8, 0), (64, 0), (64, 5), (256, 0), (1024, 5)]
)
def test_one_logit_per_image(resolution: int, label_dim: int) -> None:
    network = build_discriminator(resolution, label_dim=label_dim)
    images = torch.randn(2, 3, resolution, resolution)
    labels = torch.eye(5)[:2] if label_dim else None
    logits = network(images, labels)
    assert logits.shape == (2,)
    assert logits.dtype == torch.float32
    half = network(images, labels, dtype=torch.bfloat16)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, logits, rtol=0.1, atol=0.1)


def test_names_of_the_unconditional_parameters_are_kept() -> None:
    # States of earlier training runs carry them.
    assert list(build_discriminator(8).state_dict()) == [
        "from_rgb.weight",
        "from_rgb.bias",
        "blocks.0.skip_weight",
        "blocks.0.conv0.weight",
        "blocks.0.conv0.bias",
        "blocks.0.conv1.weight",
        "blocks.0.conv1.bias",
        "last_convolution.weight",
        "last_convolution.bias",
        "hidden.weight",
        "hidden.bias",
        "out.weight",
        "out.bias",
    ]


def test_projection_by_hand() -> None:
    network = build_discriminator(4, label_dim=3)
    images = torch.randn(3, 3, 4, 4)
    labels = torch.eye(3)
    captured = []
    network.out.register_forward_hook(lambda *args: captured.append(args[2]))
    logits = network(images, labels)

    assert network.labels is not None
    state = {k: v.numpy() for k, v in network.labels.state_dict().items()}
    x = labels.numpy() @ state["embed.weight"].T / np.sqrt(3) + state["embed.bias"]
    x /= np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)
    for i in range(8):
        x = x @ state[f"layers.{i}.weight"].T * 0.01 / np.sqrt(8)
        x = x + state[f"layers.{i}.bias"] * 0.01
        x = np.where(x > 0, x, 0.2 * x) * np.sqrt(2)
    expected = (captured[0].detach().numpy() * x).sum(axis=1) / np.sqrt(8)
    np.testing.assert_allclose(logits.detach().numpy(), expected, rtol=1e-4)


def test_it_learns_which_class_fits_which_picture() -> None:
    # Dark pictures are class 0, bright ones class 1: only the pairing tells real from fake.
    network = build_discriminator(4, label_dim=2)
    random = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.005, betas=(0.0, 0.99))
    for _ in range(30):
        kind = torch.randint(2, (8,), generator=random)
        images = (kind * 2.0 - 1)[:, None, None, None].expand(8, 3, 4, 4)
        images = images + 0.1 * torch.randn(8, 3, 4, 4, generator=random)
        fit = network(images, F.one_hot(kind, 2))
        misfit = network(images, F.one_hot(1 - kind, 2))
        loss = F.softplus(-fit).mean() + F.softplus(misfit).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert fit.min() > misfit.max()


def test_it_runs_in_channels_last() -> None:
    network = build_discriminator(16)
    layouts = []
    for block in network.blocks:
        block.register_forward_hook(
            lambda *args: layouts.append(args[2].is_contiguous(memory_format=torch.channels_last))
        )
    network(torch.randn(2, 3, 16, 16))
    assert layouts == [True, True]


def test_bad_arguments_are_refused() -> None:
    for resolution in (2, 12):
        with pytest.raises(UsageError, match=f"power of two from 4 on, got {resolution}"):
            build_discriminator(resolution)
    with pytest.raises(UsageError, match="needs a channel_base of at least 64"):
        Discriminator(64, image_channels=3, channel_base=32, channel_max=8)
    plain, conditional = build_discriminator(8), build_discriminator(8, label_dim=2)
    images = torch.zeros(2, 3, 8, 8)
    with pytest.raises(UsageError, match=r"takes images \[N, 3, 8, 8\], got \[2, 3, 4, 4\]"):
        plain(torch.zeros(2, 3, 4, 4))
    with pytest.raises(UsageError, match="not class-conditional"):
        plain(images, torch.zeros(2, 2))
    with pytest.raises(UsageError, match=r"class_labels must be \[2, 2\], got none"):
        conditional(images)
    with pytest.raises(UsageError, match=r"class_labels must be \[2, 2\], got \[2, 3\]"):
        conditional(images, torch.zeros(2, 3))
