"""Fixtures that every room's tests share."""

from collections.abc import Iterator

import pytest
import torch

from datasetgan.generators import StyleGAN2, StyleGAN2Config
from datasetgan.runtime import Runtime
from datasetgan.taxonomy import ClassTaxonomy


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how long the examples of the documents took: readers run them too."""
    done = [
        (report.nodeid.partition("::")[2], report.duration)
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call" and "test_documentation.py::" in report.nodeid
    ]
    examples = [(name, seconds) for name, seconds in done if name.endswith("_runs")]
    if examples:
        terminalreporter.section("examples of the documents")
    for name, seconds in examples:
        terminalreporter.write_line(f"{seconds:6.1f} s  {name}")


@pytest.fixture(autouse=True)
def _process_settings() -> Iterator[None]:
    """Undo what `resolve_runtime` sets: hypothesis needs denormals, xdist one thread."""
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)
    torch.set_flush_denormal(False)


@pytest.fixture
def taxonomy() -> ClassTaxonomy:
    """The five classes of the embedded default."""
    return ClassTaxonomy.from_names(["background", "red_cell", "cytoplasm", "nucleus", "platelet"])


@pytest.fixture
def tiny_generator() -> StyleGAN2:
    """A 32 px StyleGAN2 with few channels and random weights, noise inputs at work."""
    return build_tiny_generator()


def build_tiny_generator() -> StyleGAN2:
    """Build the generator of the fixture of the same name."""
    config = StyleGAN2Config(
        resolution=32, z_dim=8, w_dim=8, mapping_layers=2, channel_base=256, channel_max=16
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = StyleGAN2(config)
        with torch.no_grad():
            for name, parameter in generator.named_parameters():
                if name.endswith("noise_strength"):
                    parameter.fill_(0.1)
    generator.digest = "0" * 64
    return generator.place(Runtime())
