"""`datasetgan suggest`: samples are added, and why is said."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from datasetgan.generators import sample_latents
from datasetgan.interpreter import (
    describe_pyramids,
    load_interpreter,
    suggest_images,
)
from datasetgan.project import Project
from tests.cli.conftest import CLASSES, Cli


def seeds(folder: Path) -> list[int]:
    return [sample.seed for sample in Project.open(folder).samples]


def expected(folder: Path, candidates: range, *, count: int, scored: str) -> list[int]:
    """Choose by the same rule, but with all images in one batch."""
    project = Project.open(folder)
    generator = project.load_generator()
    sampling = project.settings.sampling

    def features(wanted):  # type: ignore[no-untyped-def]
        latents = sample_latents(generator, wanted, truncation_psi=sampling.truncation_psi)
        with torch.no_grad():
            return generator.synthesize(latents.ws, noise=latents.noise).features

    interpreter = load_interpreter(project.layout.interpreter) if scored == "yes" else None
    described = describe_pyramids([features(list(candidates))], interpreter=interpreter)
    existing = None
    if taken := seeds(folder):
        existing = describe_pyramids([features(taken)]).vectors
    chosen = suggest_images(described, existing, count=count)
    return [candidates[choice.index] for choice in chosen]


def test_the_first_images_of_a_new_project(cli: Cli, tmp_path: Path, generator_file: Path) -> None:
    folder = tmp_path / "cells"
    assert cli("new", folder, "--generator", generator_file, "--classes", CLASSES).code == 0
    wanted = expected(folder, range(24), count=3, scored="no")
    outcome = cli("suggest", folder, "-n", 3, "--candidates", 24, "--threads", 1)
    assert outcome.code == 0, outcome.err
    assert seeds(folder) == wanted
    assert "diversity alone" in outcome.out
    for key in ("sample-0000", "sample-0001", "sample-0002"):
        assert key in outcome.out
        assert (folder / f"samples/images/{key}.png").exists()
    record = json.loads((folder / "records/sample.json").read_text("utf-8"))
    assert record["settings"]["candidates"] == 24
    assert record["settings"]["chosen_by"] == "diversity"


def test_after_a_fit_uncertainty_counts(cli: Cli, fitted: Path) -> None:
    before = seeds(fitted)
    candidates = range(max(before) + 1, max(before) + 25)
    wanted = expected(fitted, candidates, count=2, scored="yes")
    images = [path.read_bytes() for path in sorted((fitted / "samples/images").iterdir())]
    outcome = cli("suggest", fitted, "-n", 2, "--candidates", 24, "--threads", 1)
    assert outcome.code == 0, outcome.err
    assert seeds(fitted) == before + wanted
    assert "diversity alone" not in outcome.out
    assert " %" in outcome.out
    assert "datasetgan import-labels" in outcome.out
    # What was there before stays as it was.
    now = [path.read_bytes() for path in sorted((fitted / "samples/images").iterdir())]
    assert now[: len(images)] == images


def test_a_given_seed_skips_those_that_are_taken(cli: Cli, sampled: Path) -> None:
    outcome = cli("suggest", sampled, "-n", 2, "--candidates", 4, "--seed", 0, "--threads", 1)
    assert outcome.code == 0, outcome.err
    assert seeds(sampled)[:2] == [0, 1]
    assert set(seeds(sampled)[2:]) < {2, 3, 4, 5}


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("-n", 0), "-n must be at least 1"),
        (("-n", 5, "--candidates", 9), "at least twice as many"),
        (("--candidates", 9000), "at most 8192"),
        (("--seed", -1), "negative"),
    ],
)
def test_bad_options_add_nothing(
    cli: Cli, sampled: Path, options: tuple[object, ...], part: str
) -> None:
    before = seeds(sampled)
    outcome = cli("suggest", sampled, *options, "--threads", 1)
    assert outcome.code == 2
    assert part in " ".join(outcome.err.split())
    assert seeds(sampled) == before


def test_an_interpreter_of_another_generator(cli: Cli, fitted: Path) -> None:
    path = fitted / "interpreter.safetensors"
    found = list(fitted.rglob("interpreter*.safetensors"))
    assert found == [path]
    text = path.read_bytes()
    digest = Project.open(fitted).settings.generator_sha256.encode()
    assert digest in text
    path.write_bytes(text.replace(digest, b"f" * 64))
    outcome = cli("suggest", fitted, "-n", 1, "--candidates", 4, "--threads", 1)
    assert outcome.code == 2
    assert "ffffffffffff" in outcome.err
    assert digest[:12].decode() in outcome.err
    assert "datasetgan fit" in outcome.err


def test_no_project(cli: Cli, tmp_path: Path) -> None:
    outcome = cli("suggest", tmp_path)
    assert outcome.code == 2
    assert "is no project" in outcome.err
    assert not np.any(list(tmp_path.iterdir()))
