"""What the factory writes, and what it refuses."""

import json
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from datasetgan.dataset import read_dataset, verify_dataset
from datasetgan.errors import DatasetError, StorageError, UsageError
from datasetgan.factory import GenerationProgress, GenerationSettings, generate, generate_samples
from datasetgan.generators import (
    NoiseSeed,
    Sampling,
    StyleGAN2,
    StyleGAN2Config,
    draw_z,
    sample_images,
)
from datasetgan.interpreter import Interpreter
from datasetgan.runtime import Runtime
from datasetgan.taxonomy import ClassTaxonomy


def test_every_sample_is_what_its_seed_says(tmp_path, tiny_generator, interpreter, settings):
    generate_samples(tiny_generator, interpreter, tmp_path / "d", settings=settings)
    dataset = read_dataset(tmp_path / "d", drop_fraction=0)
    assert [r.seed for r in dataset.kept] == list(range(1_000_000, 1_000_008))
    classes = set()
    for record in dataset.kept:
        sample = dataset.load(record)
        # One image alone, step by step, out of the seed that the manifest names.
        ws = tiny_generator.map(draw_z([record.seed], 8), truncation_psi=0.7)
        synthesis = tiny_generator.synthesize(ws, noise=NoiseSeed((record.seed,)))
        image = synthesis.image[0].permute(1, 2, 0).clamp(-1, 1).double().numpy()
        assert np.abs(sample.image - (image + 1) * 127.5).max() <= 0.501
        prediction = interpreter.predict(synthesis.features)
        agree = sample.label_map == prediction.label_map[0].numpy()
        assert agree.mean() > 0.99  # another batch size may round a vote differently
        uncertainty = prediction.uncertainty[0].numpy()
        np.testing.assert_allclose(sample.uncertainty, uncertainty, atol=1e-4)
        top = np.sort(uncertainty.ravel())[-(32 * 32 // 10) :].mean()
        assert sample.uncertainty_score == pytest.approx(top, abs=1e-5)
        assert record.class_pixels == tuple(np.bincount(sample.label_map.ravel(), minlength=5))
        classes |= set(sample.label_map.ravel().tolist())
    assert len(classes) > 1  # else the comparison of labels proves nothing


def test_manifest_names_where_it_all_came_from(tmp_path, tiny_generator, interpreter, settings):
    manifest = generate_samples(tiny_generator, interpreter, tmp_path / "d", settings=settings)
    assert manifest == verify_dataset(tmp_path / "d")
    assert manifest.generator_sha256 == tiny_generator.digest
    assert manifest.interpreter_sha256 == interpreter.digest
    assert manifest.taxonomy == interpreter.taxonomy
    assert (manifest.height, manifest.width) == (32, 32)
    assert manifest.torch_version == torch.__version__
    assert manifest.settings == {
        "num_samples": 8,
        "first_seed": 1_000_000,
        "truncation_psi": 0.7,
        "batch": 3,
        "uncertainty": "map",
        "score_rule": "top_decile_mean",
        "label_precision": "float32",
        "precision": "float32",
    }
    assert str(tmp_path) not in (tmp_path / "d/manifest.json").read_text()


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_folder_depends_on_content_alone(tmp_path, tiny_generator, interpreter, settings):
    for name in ("a", "deep/er/b"):
        generate_samples(tiny_generator, interpreter, tmp_path / name, settings=settings)
    assert files(tmp_path / "a") == files(tmp_path / "deep/er/b")
    assert len(files(tmp_path / "a")) == 8 * 3 + 1


def test_scores_alone_leave_no_maps(tmp_path, tiny_generator, interpreter, settings):
    scores = replace(settings, uncertainty="score", score_rule="sum")
    manifest = generate_samples(tiny_generator, interpreter, tmp_path / "d", settings=scores)
    assert not (tmp_path / "d/uncertainty").exists()
    dataset = read_dataset(tmp_path / "d")
    assert dataset.load(dataset.kept[0]).uncertainty is None
    maps = generate_samples(tiny_generator, interpreter, tmp_path / "m", settings=settings)
    stored = read_dataset(tmp_path / "m", drop_fraction=0)
    for record, other in zip(manifest.samples, maps.samples, strict=True):
        uncertainty = stored.load(other).uncertainty
        assert uncertainty is not None
        assert record.uncertainty_score == pytest.approx(uncertainty.sum(), abs=32 * 32 * 0.51e-4)


def test_progress_counts_what_is_on_disk(tmp_path, tiny_generator, interpreter, settings):
    out, seen = tmp_path / "d", []

    def watch(progress: GenerationProgress) -> None:
        seen.append(progress.done)
        assert progress.total == 8
        assert len(list(out.glob("images/*.png"))) >= progress.done

    generate_samples(tiny_generator, interpreter, out, settings=settings, on_progress=watch)
    assert seen == [0, 3, 6, 8]


def test_memory_holds_two_batches_at_most(tmp_path, tiny_generator, interpreter, monkeypatch):
    alive: weakref.WeakSet = weakref.WeakSet()
    most = 0
    made = generate.LabelledSample

    def count(**values):
        nonlocal most
        sample = made(**values)
        alive.add(sample)
        most = max(most, len(alive))
        return sample

    monkeypatch.setattr(generate, "LabelledSample", count)
    generate_samples(
        tiny_generator,
        interpreter,
        tmp_path / "d",
        settings=GenerationSettings(num_samples=40, batch=4),
    )
    assert 4 <= most <= 8


def test_a_complete_dataset_is_returned_at_once(
    tmp_path, tiny_generator, interpreter, settings, monkeypatch
):
    out = tmp_path / "d"
    first = generate_samples(tiny_generator, interpreter, out, settings=settings)
    before = files(out)
    monkeypatch.setattr(Interpreter, "predict", None)
    assert generate_samples(tiny_generator, interpreter, out, settings=settings) == first
    # Newer versions do not make a complete dataset another one.
    data = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**data, "torch_version": "1.0"}))
    again = generate_samples(tiny_generator, interpreter, out, settings=settings)
    assert again.torch_version == "1.0"
    assert files(out).keys() == before.keys()


@pytest.mark.parametrize("state", ["unfinished", "complete"])
def test_other_settings_are_refused(tmp_path, tiny_generator, interpreter, settings, state):
    out = tmp_path / "d"

    def stop(progress: GenerationProgress) -> None:
        if progress.done == 3 and state == "unfinished":
            raise KeyboardInterrupt

    try:
        generate_samples(tiny_generator, interpreter, out, settings=settings, on_progress=stop)
    except KeyboardInterrupt:
        assert state == "unfinished"
    before = files(out)
    for change, words in (
        ({"num_samples": 9}, "num_samples was 8, now 9"),
        ({"first_seed": 5}, "first_seed was 1000000, now 5"),
        ({"truncation_cutoff": 2}, "truncation_cutoff was None, now 2"),
    ):
        with pytest.raises(DatasetError, match=words):
            generate_samples(tiny_generator, interpreter, out, settings=replace(settings, **change))
    names = ["background", "red_cell", "cytoplasm", "nucleus", "dust"]
    other = replace(interpreter, taxonomy=ClassTaxonomy.from_names(names))
    with pytest.raises(DatasetError, match=r"interpreter_sha256 was .*dust|dust.*interpreter_sha"):
        generate_samples(tiny_generator, other, out, settings=settings)
    assert files(out) == before


def test_folders_that_hold_something_else_are_left_alone(
    tmp_path, tiny_generator, interpreter, settings
):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter1.tex").write_text("In the beginning")
    with pytest.raises(DatasetError, match="thesis is not empty and holds no dataset"):
        generate_samples(tiny_generator, interpreter, tmp_path / "thesis", settings=settings)
    out = tmp_path / "thesis/chapter1.tex"
    with pytest.raises(DatasetError, match="is a file"):
        generate_samples(tiny_generator, interpreter, out, settings=settings)
    with pytest.raises(StorageError, match="a part of its path is a file"):
        generate_samples(tiny_generator, interpreter, out / "d", settings=settings)
    assert files(tmp_path) == {"thesis/chapter1.tex": b"In the beginning"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"num_samples": -3}, "num_samples"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"first_seed": -1}, "first_seed must be at least 0"),
        ({"truncation_psi": float("nan")}, "finite"),
        ({"truncation_cutoff": -1}, "negative"),
        ({"uncertainty": "maps"}, "Did you mean 'map'"),
        ({"score_rule": "mean"}, "Valid: top_decile_mean, sum"),
        ({"label_precision": "float16"}, "Valid: auto, float32, bfloat16"),
        ({"label_resolution": 0}, "label_resolution must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range(values, words):
    with pytest.raises(UsageError, match=words):
        GenerationSettings(**{"num_samples": 1, **values})


def test_painted_seeds_do_not_recur_by_default():
    assert GenerationSettings().first_seed == 1_000_000


def test_networks_that_do_not_belong_together(tmp_path, tiny_generator, interpreter, settings):
    elsewhere = replace(interpreter.ensemble, generator_digest="f" * 64)
    stranger = replace(interpreter, ensemble=elsewhere)
    with pytest.raises(UsageError, match="fitted on the generator ffffffffffff"):
        generate_samples(tiny_generator, stranger, tmp_path / "d", settings=settings)
    conditional = StyleGAN2(
        StyleGAN2Config(
            resolution=32, z_dim=8, w_dim=8, channel_base=64, channel_max=4, label_dim=3
        )
    )
    with pytest.raises(UsageError, match="one of 3 class labels"):
        generate_samples(conditional, interpreter, tmp_path / "d", settings=settings)
    assert not (tmp_path / "d").exists()


def test_overflow_is_named(tmp_path, tiny_generator, interpreter, settings):
    with torch.no_grad():
        next(interpreter.ensemble.members.parameters()).fill_(torch.inf)
    with pytest.raises(UsageError, match=r"seed 1000000 has the uncertainty nan.*Use float32"):
        generate_samples(tiny_generator, interpreter, tmp_path / "d", settings=settings)
    assert not list(tmp_path.rglob("*.png"))


def test_generators_built_in_memory_are_told_apart(tmp_path, tiny_generator, interpreter, settings):
    tiny_generator.digest = ""
    generate_samples(tiny_generator, interpreter, tmp_path / "d", settings=settings)
    with torch.no_grad():
        next(tiny_generator.parameters())[0] += 0.01
    with pytest.raises(DatasetError, match="generator_sha256 was"):
        generate_samples(tiny_generator, interpreter, tmp_path / "d", settings=settings)


def test_a_class_conditional_generator_gives_samples_of_the_class_asked_for(
    tmp_path, tiny_generator, interpreter, settings
):
    torch.manual_seed(0)
    conditional = StyleGAN2(replace(tiny_generator.config, label_dim=3)).place(Runtime())
    settings = replace(settings, num_samples=2, class_label=2)
    manifest = generate_samples(conditional, interpreter, tmp_path / "d", settings=settings)
    assert manifest.settings["class_label"] == 2
    dataset = read_dataset(tmp_path / "d", drop_fraction=0)
    for record in dataset.kept:
        _, synthesis = sample_images(conditional, [record.seed], Sampling(class_label=2))
        difference = dataset.load(record).image.astype(int) - synthesis.to_uint8()[0]
        assert np.abs(difference).max() <= 1
