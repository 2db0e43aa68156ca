"""Alias-free filters against SciPy, and fast filtering against its definition."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import signal, special

from datasetgan.generators import filters, filters_reference


@pytest.mark.parametrize(
    ("num_taps", "cutoff", "half_width", "sampling_rate"),
    [
        (12, 2.0, 6.0, 32.0),  # wide transition: a flat window or nearly so
        (12, 8.0, 8.0, 64.0),
        (24, 20.0, 30.0, 256.0),
        (40, 10.0, 12.0, 64.0),  # deep attenuation
        (13, 5.0, 3.0, 40.0),
        (6, 3.0, 0.01, 32.0),  # no attenuation to speak of: beta is zero
    ],
)
class TestDesign:
    def test_separable_filter_is_scipys(
        self, num_taps: int, cutoff: float, half_width: float, sampling_rate: float
    ) -> None:
        taps = filters.lowpass_filter(
            num_taps, cutoff=cutoff, half_width=half_width, sampling_rate=sampling_rate
        )
        expected = signal.firwin(num_taps, cutoff, width=2 * half_width, fs=sampling_rate)
        np.testing.assert_allclose(taps.numpy(), expected, atol=1e-7)

    def test_radial_filter_is_a_windowed_jinc(
        self, num_taps: int, cutoff: float, half_width: float, sampling_rate: float
    ) -> None:
        num_taps += num_taps % 2
        taps = filters.radial_lowpass_filter(
            num_taps, cutoff=cutoff, half_width=half_width, sampling_rate=sampling_rate
        )
        beta = signal.kaiser_beta(signal.kaiser_atten(num_taps, 4 * half_width / sampling_rate))
        window = np.kaiser(num_taps, beta)
        expected = np.empty((num_taps, num_taps))
        for i, j in np.ndindex(*expected.shape):
            radius = np.hypot(i - (num_taps - 1) / 2, j - (num_taps - 1) / 2) / sampling_rate
            jinc = special.j1(2 * np.pi * cutoff * radius) / (np.pi * radius)
            expected[i, j] = jinc * window[i] * window[j]
        np.testing.assert_allclose(taps.numpy(), expected / expected.sum(), atol=1e-7)

    def test_terms_add_up_to_the_filter(
        self, num_taps: int, cutoff: float, half_width: float, sampling_rate: float
    ) -> None:
        num_taps += num_taps % 2
        settings_ = {"cutoff": cutoff, "half_width": half_width, "sampling_rate": sampling_rate}
        radial = filters.radial_lowpass_filter(num_taps, **settings_)
        terms = filters.separable_terms(radial)
        assert len(terms) <= num_taps // 2  # the halves mirror each other
        total = torch.einsum("ri,rj->ij", terms[:, 0], terms[:, 1])
        torch.testing.assert_close(total, radial, rtol=0, atol=2e-7 * radial.max().item())
        taps = filters.lowpass_filter(num_taps, **settings_)
        column, row = filters.separable_terms(taps)[0]
        torch.testing.assert_close(torch.outer(column, row), torch.outer(taps, taps))


@settings(deadline=None, max_examples=40)
@given(
    planes=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    size=st.integers(1, 40),
    up=st.sampled_from([2, 3, 4, 8]),
    down=st.sampled_from([2, 3, 4]),
    taps=st.tuples(st.integers(1, 20), st.integers(1, 9)),
    padding=st.integers(-12, 20),
    out_size=st.integers(1, 80),
    radial=st.booleans(),
    clamp=st.sampled_from([None, 0.5]),
    budget=st.sampled_from([1, 5000, 2**19]),
)
def test_fast_filtering_is_the_definition(
    planes: tuple[int, int],
    size: int,
    up: int,
    down: int,
    taps: tuple[int, int],
    padding: int,
    out_size: int,
    radial: bool,
    clamp: float | None,
    budget: int,
) -> None:
    behind = (out_size - 1) * down + sum(taps) - 1 - up * size - padding
    assume(min(padding, behind) > -up * size)  # something of the signal is left
    draw = torch.Generator().manual_seed(size * 100 + out_size)
    up_filter = torch.randn(taps[0], generator=draw)
    down_filter = torch.randn(taps[1], generator=draw)
    if radial:
        down_filter = torch.randn(taps[1], taps[1], generator=draw)
        down_filter = down_filter + down_filter.t()
    x = torch.randn(*planes, size, size, generator=draw, dtype=torch.float64)
    expected = filters_reference.filtered_leaky_relu(
        x,
        up_filter=up_filter,
        down_filter=down_filter,
        up=up,
        down=down,
        padding=padding,
        out_size=out_size,
        clamp=clamp,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters, "_CPU_ELEMENTS", budget)  # one plane at a time, few, all
        actual = filters.filtered_leaky_relu(
            x,
            up_filter=up_filter,
            down_terms=filters.separable_terms(down_filter),
            up=up,
            down=down,
            padding=padding,
            out_size=out_size,
            clamp=clamp,
        )
    # Filters are float32: rounding grows with their taps, with the gain of up-sampling (up
    # along each axis) and with the input.
    scale = max(1.0, down_filter.abs().sum().item() * up_filter.abs().sum().item() ** 2)
    scale *= up**2 * max(1.0, x.abs().max().item())
    torch.testing.assert_close(actual, expected, rtol=0, atol=5e-7 * scale)


@pytest.mark.parametrize("radial", [False, True])
def test_gradients_pass(radial: bool) -> None:
    design = filters.radial_lowpass_filter if radial else filters.lowpass_filter
    down_filter = design(4, cutoff=2.0, half_width=2.0, sampling_rate=16.0)
    terms = filters.separable_terms(down_filter)
    up_filter = filters.lowpass_filter(4, cutoff=2.0, half_width=2.0, sampling_rate=16.0)
    torch.manual_seed(0)
    x = torch.randn(1, 2, 5, 5, dtype=torch.float64, requires_grad=True)

    def run(x: torch.Tensor) -> torch.Tensor:
        return filters.filtered_leaky_relu(
            x,
            up_filter=up_filter,
            down_terms=terms,
            up=2,
            down=2,
            padding=3,
            out_size=5,
            clamp=0.7,
        )

    assert torch.autograd.gradcheck(run, (x,))


def test_a_wave_below_the_cutoff_stays_and_one_above_fades() -> None:
    # Filters do their work: through the whole up and down path, on a signal that stays positive.
    taps = filters.lowpass_filter(24, cutoff=6.0, half_width=4.0, sampling_rate=64.0)
    places = (torch.arange(32) + 0.5) / 32
    for frequency, least, most in [(2, 0.95, 1.05), (13, 0.0, 0.05)]:
        wave = torch.cos(2 * torch.pi * frequency * places)
        x = (3 + wave).expand(1, 1, 32, 32)
        y = filters.filtered_leaky_relu(
            x,
            up_filter=taps,
            down_terms=filters.separable_terms(taps),
            up=2,
            down=2,
            padding=24,
            out_size=32,
            clamp=None,
        )
        middle = y[0, 0, 16, 12:28] / 2**0.5  # the borders see zeros
        assert middle.mean().item() == pytest.approx(3, abs=0.1)
        swing = ((middle.max() - middle.min()) / 2).item()
        assert least < swing < most, frequency
