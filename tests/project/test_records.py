"""Records: what a finished stage took, and nothing of one that failed."""

import json
import platform
import resource
import time

import numpy as np
import pytest
import torch

from datasetgan.errors import ConfigError, UsageError
from datasetgan.project import Project, read_records, record_run
from datasetgan.project.records import peak_memory_mb


def test_a_record_tells_time_memory_versions_settings_and_digests(project: Project) -> None:
    with record_run(project, "fit") as notes:
        time.sleep(0.05)
        notes.settings["num_members"] = 10
        notes.digests["interpreter"] = "ab" * 32
    (record,) = read_records(project)
    assert record.stage == "fit"
    assert 0.05 <= record.seconds < 5
    assert record.settings == {"num_members": 10}
    assert record.digests == {"interpreter": "ab" * 32}
    assert record.versions["torch"] == torch.__version__
    assert record.versions["python"] == platform.python_version()
    text = project.layout.record("fit").read_text()
    assert json.loads(text)["stage"] == "fit"
    assert platform.node() not in text


def test_peak_memory_is_that_of_the_system(project: Project) -> None:
    block = np.ones(64 * 2**20, dtype=np.uint8)
    del block
    with record_run(project, "train"):
        pass
    (record,) = read_records(project)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    assert record.peak_memory_mb is not None
    assert own / unit - 1 <= record.peak_memory_mb <= (peak_memory_mb() or 0)


def test_a_stage_that_fails_leaves_the_former_record(project: Project) -> None:
    def run(members: int) -> None:
        with record_run(project, "fit") as notes:
            notes.settings["num_members"] = members
            if members < 1:
                raise ValueError(members)

    run(10)
    with pytest.raises(ValueError, match="0"):
        run(0)
    (record,) = read_records(project)
    assert record.settings == {"num_members": 10}


def test_records_come_in_the_order_of_the_stages(project: Project) -> None:
    with record_run(project, "train"):
        pass
    with record_run(project, "sample"):
        pass
    assert [record.stage for record in read_records(project)] == ["sample", "train"]


def test_an_unknown_stage_and_a_damaged_record_are_named(project: Project) -> None:
    with (
        pytest.raises(UsageError, match=r"unknown stage 'fitt'. Did you mean 'fit'"),
        record_run(project, "fitt"),  # type: ignore[arg-type]
    ):
        pass
    project.layout.record("fit").parent.mkdir()
    project.layout.record("fit").write_text('{"stage": "fit"}')
    with pytest.raises(ConfigError, match=r"fit\.json: seconds"):
        read_records(project)


def test_a_named_run_has_records_of_its_own(project: Project) -> None:
    with record_run(project, "train") as notes:
        notes.settings["steps"] = 1
    with record_run(project, "train", run="second") as notes:
        notes.settings["steps"] = 2
    assert [record.settings for record in read_records(project)] == [{"steps": 1}]
    (record,) = read_records(project, run="second")
    assert record.settings == {"steps": 2}
    assert read_records(project, run="third") == ()
    assert (project.folder / "runs" / "second" / "records" / "train.json").is_file()
    with pytest.raises(UsageError, match=r"got '\.\./x'"), record_run(project, "fit", run="../x"):
        raise AssertionError("the name is looked at before the work begins")
