"""Fast operators against their literal twins."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetgan.generators import ops, ops_reference


@settings(deadline=None, max_examples=40)
@given(
    batch=st.integers(1, 3),
    fan_in=st.integers(1, 5),
    fan_out=st.integers(1, 5),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    demodulate=st.booleans(),
    mode=st.sampled_from([(1, False), (3, False), (3, True)]),
)
def test_modulated_convolution_is_the_definition(
    batch: int,
    fan_in: int,
    fan_out: int,
    height: int,
    width: int,
    demodulate: bool,
    mode: tuple[int, bool],
) -> None:
    kernel, upsample = mode
    torch.manual_seed(batch + 10 * height)
    x = torch.randn(batch, fan_in, height, width, dtype=torch.float64)
    weight = torch.randn(fan_out, fan_in, kernel, kernel, dtype=torch.float64)
    styles = torch.rand(batch, fan_in, dtype=torch.float64) + 0.5
    bias = torch.randn(fan_out, 1, 1, dtype=torch.float64)
    fast = ops.modulated_conv2d(
        x, weight, styles, bias=bias, demodulate=demodulate, upsample=upsample, gain=1.5
    )
    literal = ops_reference.modulated_conv2d(
        x, weight, styles, demodulate=demodulate, upsample=upsample
    )
    torch.testing.assert_close(fast, literal * 1.5 + bias, rtol=1e-6, atol=1e-6)


@given(height=st.integers(1, 9), width=st.integers(1, 9))
@settings(deadline=None, max_examples=30)
def test_resampling_is_zero_insertion_filter_and_decimation(height: int, width: int) -> None:
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    up = ops_reference.filter_and_resample(x, up=2, padding=(2, 1), gain=4.0)
    torch.testing.assert_close(ops.upsample_2d(x), up)
    even = x[:, :, : height // 2 * 2, : width // 2 * 2]
    if even.numel():
        down = ops_reference.filter_and_resample(even, down=2, padding=(1, 1))
        torch.testing.assert_close(ops.downsample_2d(even), down)


def test_a_silent_channel_stays_finite() -> None:
    x = torch.randn(1, 2, 4, 4)
    weight = torch.zeros(3, 2, 3, 3)
    y = ops.modulated_conv2d(x, weight, torch.zeros(1, 2), bias=torch.ones(3, 1, 1))
    assert torch.equal(y, torch.ones(1, 3, 4, 4))
