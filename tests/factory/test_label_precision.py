"""The precision of labels: decided once per dataset, and kept to."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from datasetgan.dataset import verify_dataset
from datasetgan.errors import DatasetError, UsageError
from datasetgan.factory import GenerationProgress, GenerationSettings, generate_samples
from datasetgan.generators import StyleGAN2
from datasetgan.interpreter import Interpreter, PrecisionChoice
from datasetgan.interpreter import label_precision as precision
from datasetgan.interpreter.labelling import Labeller
from tests.factory.test_interruption import content


@pytest.fixture
def auto(settings: GenerationSettings) -> GenerationSettings:
    return replace(settings, label_precision="auto")


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch):
    """Return a function that sets what a measurement finds on a CPU with fast bfloat16."""

    def set_share(share: float | None) -> None:
        def compare(_interpreter, features, *, size):
            assert share is not None, "measured again"
            assert features.batch_size == 3  # the first batch
            assert size == (32, 32)
            return share

        monkeypatch.setattr(Labeller, "engine", "numba")
        monkeypatch.setattr(precision, "training_precision", lambda _device: "bfloat16")
        monkeypatch.setattr(precision, "compare_precisions", compare)

    return set_share


@pytest.fixture
def run(tiny_generator, interpreter):
    def run(out: Path, settings: GenerationSettings, on_progress=None):
        choices: list[PrecisionChoice] = []
        manifest = generate_samples(
            tiny_generator,
            interpreter,
            out,
            settings=settings,
            on_labelling=choices.append,
            on_progress=on_progress,
        )
        assert manifest == verify_dataset(out)
        return manifest.settings["label_precision"], choices

    return run


def stop_after(done: int):
    def stop(progress: GenerationProgress) -> None:
        if progress.done == done:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize(("share", "chosen"), [(0.001, "bfloat16"), (0.01, "float32")])
def test_the_decision_is_what_labels_are_made_in(
    tmp_path, run, auto, measure, monkeypatch, share, chosen
):
    measure(share)
    used = []
    predict, synthesize = Interpreter.predict, StyleGAN2.synthesize
    drawn = []

    def spy(self, features, **options):
        used.append(options["precision"])
        return predict(self, features, **options)

    def count(self, ws, **options):
        drawn.append(len(ws))
        return synthesize(self, ws, **options)

    monkeypatch.setattr(Interpreter, "predict", spy)
    monkeypatch.setattr(StyleGAN2, "synthesize", count)
    recorded, choices = run(tmp_path / "auto", auto)
    assert recorded == chosen
    assert choices == [PrecisionChoice(chosen, "numba", share)]
    assert used == [chosen] * 3
    assert drawn == [3, 3, 2]  # what was measured on is not synthesized again
    # A dataset does not tell whether its precision was chosen or named.
    named, choices = run(tmp_path / "named", replace(auto, label_precision=chosen))
    assert named == chosen
    assert choices == [PrecisionChoice(chosen, "numba", None)]
    assert content(tmp_path / "named") == content(tmp_path / "auto")


def test_precisions_make_other_bytes(tmp_path, run, auto, measure):
    """Else the comparisons of bytes in this file prove nothing."""
    measure(None)
    for name in ("float32", "bfloat16"):
        run(tmp_path / name, replace(auto, label_precision=name))
    one, other = content(tmp_path / "float32"), content(tmp_path / "bfloat16")
    assert one["labels/000000.png"] is not None
    assert any(one[f"uncertainty/00000{i}.png"] != other[f"uncertainty/00000{i}.png"] for i in "07")


@pytest.mark.parametrize("done", [0, 3, 8])
def test_what_was_begun_goes_on_as_it_was_begun(tmp_path, run, auto, measure, done):
    measure(0.001)
    run(tmp_path / "whole", auto)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "d", auto, stop_after(done))
    measure(None)
    recorded, choices = run(tmp_path / "d", auto)
    assert recorded == "bfloat16"
    unfinished = done < 8
    assert choices == ([PrecisionChoice("bfloat16", "numba", None)] if unfinished else [])
    assert content(tmp_path / "d") == content(tmp_path / "whole")
    assert run(tmp_path / "d", auto) == ("bfloat16", [])  # complete
    assert run(tmp_path / "d", replace(auto, label_precision="bfloat16")) == ("bfloat16", [])


def test_interrupted_while_measuring(tmp_path, run, auto, measure, monkeypatch):
    measure(0.001)
    run(tmp_path / "whole", auto)

    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(precision, "compare_precisions", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "d", auto)
    assert not (tmp_path / "d").exists()
    run(tmp_path / "d", auto)
    assert content(tmp_path / "d") == content(tmp_path / "whole")


@pytest.mark.parametrize("done", [3, None])
def test_another_precision_is_refused(tmp_path, run, auto, measure, done):
    measure(0.001)
    if done is None:
        run(tmp_path / "d", auto)
    else:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "d", auto, stop_after(done))
    with pytest.raises(DatasetError, match="label_precision was bfloat16, now float32"):
        run(tmp_path / "d", replace(auto, label_precision="float32"))


def test_folders_of_others_are_refused_before_anything_is_measured(tmp_path, run, auto, measure):
    measure(None)
    (tmp_path / "thesis.txt").write_text("In the beginning")
    with pytest.raises(DatasetError, match="not empty"):
        run(tmp_path, auto)


@pytest.mark.parametrize("state", ["unfinished", "complete"])
def test_datasets_that_name_no_precision_are_float32(tmp_path, run, auto, measure, state):
    measure(0.5)
    run(tmp_path / "whole", auto)
    out = tmp_path / "d"
    if state == "complete":
        run(out, auto)
    else:
        with pytest.raises(KeyboardInterrupt):
            run(out, auto, stop_after(3))
    path = out / ("manifest.json" if state == "complete" else ".parts/plan.json")
    data = json.loads(path.read_text("utf-8"))
    assert data["settings"].pop("label_precision") == "float32"
    path.write_text(json.dumps(data), "utf-8")
    measure(None)
    with pytest.raises(DatasetError, match="label_precision was float32, now bfloat16"):
        run(out, replace(auto, label_precision="bfloat16"))
    if state == "unfinished":
        assert run(out, auto) == ("float32", [PrecisionChoice("float32", "numba", None)])
        assert content(out) == content(tmp_path / "whole")


def test_an_old_dataset_that_is_complete_stays_so(
    tmp_path, tiny_generator, interpreter, run, auto, measure
):
    measure(0.5)
    run(tmp_path / "d", auto)
    path = tmp_path / "d/manifest.json"
    data = json.loads(path.read_text("utf-8"))
    del data["settings"]["label_precision"]
    path.write_text(json.dumps(data), "utf-8")
    measure(None)
    before = content(tmp_path / "d")
    again = generate_samples(tiny_generator, interpreter, tmp_path / "d", settings=auto)
    assert "label_precision" not in again.settings
    assert content(tmp_path / "d") == before


def test_plain_pytorch_cannot_and_says_so_first(tmp_path, run, auto, measure, monkeypatch):
    measure(0.001)
    run(tmp_path / "complete", auto)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "begun", auto, stop_after(3))
    monkeypatch.setattr(Labeller, "engine", "plain")
    with pytest.raises(UsageError, match=r"bfloat16 here: that takes a CPU and Numba"):
        run(tmp_path / "new", replace(auto, label_precision="bfloat16"))
    assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match=r"go on with one in bfloat16 where it was begun"):
        run(tmp_path / "begun", auto)
    assert run(tmp_path / "complete", auto) == ("bfloat16", [])
    assert run(tmp_path / "new", auto) == ("float32", [PrecisionChoice("float32", "plain", None)])
