"""A small dataset, written by the writer as the factory calls it."""

from pathlib import Path

import numpy as np
import pytest

from datasetgan.dataset import (
    UNCERTAINTY_SCALE,
    DatasetManifest,
    LabelledSample,
    begin_dataset,
    finish_dataset,
    write_part,
    write_sample,
)
from datasetgan.taxonomy import ClassTaxonomy

SCORES = (0.5, 0.1, 0.9, 0.5, 0.3, 0.7, 0.5)
HEIGHT, WIDTH = 6, 8


def make_plan(taxonomy: ClassTaxonomy) -> DatasetManifest:
    return DatasetManifest(
        format=1,
        datasetgan_version="0.1.0",
        torch_version="2.11.0",
        generator_sha256="a" * 64,
        interpreter_sha256="b" * 64,
        taxonomy=taxonomy,
        height=HEIGHT,
        width=WIDTH,
        uncertainty_scale=UNCERTAINTY_SCALE,
        settings={"num_samples": len(SCORES), "truncation_psi": 0.7, "uncertainty": "map"},
    )


def make_sample(number: int) -> LabelledSample:
    stream = np.random.RandomState(number)
    return LabelledSample(
        key=f"{number:06d}",
        seed=100 + number,
        image=stream.randint(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8),
        label_map=stream.randint(0, 5, (HEIGHT, WIDTH)).astype(np.uint8),
        uncertainty=stream.uniform(0, np.log(5), (HEIGHT, WIDTH)).astype(np.float32),
        uncertainty_score=SCORES[number],
    )


@pytest.fixture
def dataset_folder(tmp_path: Path, taxonomy: ClassTaxonomy) -> Path:
    folder = tmp_path / "cells"
    plan = make_plan(taxonomy)
    begin_dataset(folder, plan)
    for part, numbers in enumerate(([0, 1, 2], [3, 4, 5], [6])):
        records = [write_sample(folder, make_sample(n), taxonomy) for n in numbers]
        write_part(folder, part, tuple(records))
    finish_dataset(folder, plan, num_parts=3)
    return folder
