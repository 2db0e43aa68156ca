"""The discriminator: its layers by hand, its size, what it may mix."""

import numpy as np
import pytest
import torch

from datasetgan.training.discriminator import Discriminator, append_minibatch_deviation


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


@pytest.mark.parametrize("resolution", [8, 16, 64])
def test_one_logit_per_image(resolution: int) -> None:
    network = Discriminator(resolution, image_channels=3, channel_base=64, channel_max=8)
    logits = network(torch.randn(4, 3, resolution, resolution))
    assert logits.shape == (4,)
    assert logits.dtype == torch.float32
    half = network(torch.randn(4, 3, resolution, resolution), dtype=torch.bfloat16)
    assert half.isfinite().all()
