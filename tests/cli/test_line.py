"""The commands one after another, as a user types them."""

import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import pytest

from datasetgan.cli.stages import parse_merges
from tests.cli.conftest import Cli
from tests.cli.test_bad_input import assert_refused


def test_the_whole_line(cli: Cli, fitted: Path, tmp_path: Path) -> None:
    generated = cli("generate", fitted, "-n", 20, "--threads", 1)
    assert generated.code == 0, generated.err
    manifest = json.loads((fitted / "datasets/default/manifest.json").read_text("utf-8"))
    assert len(manifest["samples"]) == 20
    assert "Next: datasetgan train" in generated.out

    assert cli("train", fitted, "--steps", 2, "--threads", 1).code == 0
    images, masks = fitted / "samples/images", fitted / "labels"
    scored = cli("evaluate", fitted, "--photos", images, "--masks", masks, "--threads", 1)
    assert scored.code == 0, scored.err
    evaluation = json.loads((fitted / "evaluation.json").read_text("utf-8"))
    assert evaluation["num_photos"] == 2
    assert f"{100 * evaluation['mean_iou']:.1f}" in scored.out
    record = (fitted / "records/evaluate.json").read_bytes()
    merged = cli(
        *("evaluate", fitted, "--photos", images, "--masks", masks, "--threads", 1),
        *("--merge", "background=background", "--merge", "cell=cytoplasm,nucleus"),
    )
    assert "cell" in merged.out
    assert "red_cell" not in merged.out
    # Merged scores are not the project's: neither they nor their record are kept.
    assert json.loads((fitted / "evaluation.json").read_text("utf-8")) == evaluation
    assert (fitted / "records/evaluate.json").read_bytes() == record
    unknown = cli("evaluate", fitted, "--photos", images, "--masks", masks, "--merge", "a=nucelus")
    assert_refused(unknown, "unknown class 'nucelus'", "Did you mean 'nucleus'?", "platelet")
    half = cli("evaluate", fitted, "--photos", images, "--masks", masks, "--merge", "cell")
    assert_refused(half, "NEW=OLD,OLD")

    reported = cli("report", fitted, "--photos", images, "--masks", masks)
    assert reported.code == 0, reported.err
    assert str(fitted / "report.html") in reported.out
    assert (fitted / "report.html").stat().st_size > 10_000
    records = {path.stem for path in (fitted / "records").iterdir()}
    assert records == {
        *("sample", "import-labels", "fit", "generate", "train", "evaluate", "report"),
    }


def test_help_is_quick() -> None:
    """0.4 s on a quiet machine; here beside what the libraries of any such page take."""
    script = "import typer.rich_utils, rich.markdown, rich.console"
    page, libraries = [], []
    for _ in range(3):
        page.append(_seconds("-m", "datasetgan", "--help"))
        libraries.append(_seconds("-c", script))
    assert min(page) < 2.5 * min(libraries)


def test_help_needs_no_torch() -> None:
    script = (
        "import sys\nfrom datasetgan.cli.main import main\nsys.argv = ['datasetgan', '--help']\n"
        "try:\n    main()\nfinally:\n    print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "import-labels" in done.stdout
    assert done.stdout.endswith("[]\n")


def _seconds(*arguments: str) -> float:
    start = perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return perf_counter() - start


def test_version(cli: Cli) -> None:
    assert cli("--version").out.strip() == "0.1.0"


def test_a_path_is_printed_as_it_stands(cli: Cli, tmp_path: Path, generator_file: Path) -> None:
    folder = tmp_path / "a[bold]b" / ("long " * 20).strip()
    outcome = cli("new", folder, "--generator", generator_file, "--classes", "a,b")
    assert f"datasetgan sample {folder} -n 16" in outcome.out


def test_merges_are_parsed() -> None:
    assert parse_merges(["a=b, c", "d=e"]) == {"a": ("b", "c"), "d": ("e",)}


def test_an_interruption_says_what_goes_on(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("datasetgan.pipeline.run_demo", interrupted)
    outcome = cli("demo", "--threads", 1)
    assert outcome.code == 130
    assert "The same command goes on where it stopped" in " ".join(outcome.err.split())
