"""`import-checkpoint` and `new` with files of other projects, as a user types them."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from datasetgan.checkpoints.generator_files import load_generator, save_generator
from datasetgan.checkpoints.layouts import LAYOUTS
from datasetgan.checkpoints.native import WeightCard, read_checkpoint
from datasetgan.generators import StyleGAN2, StyleGAN2Config
from datasetgan.project import Project
from datasetgan.serialization import sha256_of_file
from tests.checkpoints import writers
from tests.checkpoints.test_import_checkpoint import KWARGS
from tests.checkpoints.test_layout_rosinality import their_state
from tests.checkpoints.test_layout_tf import STATIC_KWARGS, stylegan1_variables
from tests.cli.conftest import CLASSES, Cli
from tests.cli.test_bad_input import assert_refused
from tests.conftest import build_tiny_generator

GOLDEN = Path(__file__).parent.parent / "golden"
IMPORT = "import-checkpoint"


def tiny_state() -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in build_tiny_generator().state_dict().items()}


def snapshot(path: Path, **kwargs: Any) -> Path:
    """NVIDIA's snapshot of the tiny generator, its discriminator beside it."""
    g = writers.nvidia_network(
        "Generator", tiny_state(), KWARGS | kwargs, buffers=("w_avg", "noise_const")
    )
    d = writers.nvidia_network("Discriminator", {"b4.out.weight": torch.ones(1)}, {})
    return writers.write_pickle(path, {"G": g, "D": d, "G_ema": g})


def rosinality(path: Path) -> Path:
    theirs = their_state(build_tiny_generator())
    mean = theirs.pop("latent_avg")
    return writers.write_torch_zip(path, {"g_ema": theirs, "latent_avg": mean})


def numpy_archive(path: Path) -> Path:
    np.savez(path, **{f"G_ema.{name}": t.numpy() for name, t in tiny_state().items()})
    return path


def legacy(path: Path) -> Path:
    path.write_bytes(writers.legacy_bytes(tiny_state()))
    return path


def safetensors(path: Path) -> Path:
    return writers.write_safetensors(path, tiny_state())


def datasetgans(path: Path) -> Path:
    """DatasetGAN's StyleGAN1, its mean latent in a file of its own."""
    with safe_open(GOLDEN / "stylegan1_64.safetensors", "pt") as file:
        golden = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    np.save(path.with_name("avg_latent_stylegan1.npy"), golden["avg_latent"].numpy())
    params = {k.removeprefix("param."): v for k, v in golden.items() if k.startswith("param.")}
    return writers.write_torch_zip(path, params)


def tensorflow(path: Path) -> Path:
    parts: dict[str, dict[str, Any]] = {"G_mapping": {}, "G_synthesis": {}}
    own = {}
    for name, tensor in stylegan1_variables().items():
        network, _, rest = name.partition("/")
        if rest:
            parts[f"G_{network}"][rest] = tensor.numpy()
        else:
            own[name] = tensor.numpy()
    components = {name: writers.tf_network(name, v, {}) for name, v in parts.items()}
    gs = writers.tf_network("G_style", own, STATIC_KWARGS, components=components)
    d = writers.tf_network("D_basic", {"FromRGB_lod0/weight": np.ones((1, 1, 3, 2), "f4")}, {})
    return writers.write_pickle(path, (gs, d, gs), protocol=2)


# File, its writer, what the report says of it, and our architecture's name.
Maker = Callable[[Path], Path]
FILES: list[tuple[str, Maker, tuple[str, ...]]] = [
    (
        "network-snapshot-001000.pkl",
        snapshot,
        ("nvidia-pickle, network G_ema", "nvidia-stylegan2: a stylegan2"),
    ),
    ("550000.pt", rosinality, ("torch-zip, network g_ema", "rosinality-stylegan2: a stylegan2")),
    ("weights.npz", numpy_archive, ("npz,", "nvidia-stylegan2: a stylegan2")),
    ("old.pth", legacy, ("torch-legacy,", "nvidia-stylegan2: a stylegan2")),
    ("weights.safetensors", safetensors, ("safetensors,", "nvidia-stylegan2: a stylegan2")),
    (
        "karras2019stylegan-cars.for_g_all.pt",
        datasetgans,
        ("torch-zip,", "datasetgan-stylegan1: a stylegan1 of 64 px"),
    ),
    (
        "karras2019stylegan.pkl",
        tensorflow,
        ("nvidia-tf-pickle, network Gs", "nvidia-tf-stylegan1: a stylegan1 of 16 px"),
    ),
]


@pytest.mark.parametrize(("name", "write", "parts"), FILES, ids=[name for name, *_ in FILES])
def test_a_file_of_each_format(
    cli: Cli, tmp_path: Path, name: str, write: Maker, parts: tuple[str, ...]
) -> None:
    source, out, grid = write(tmp_path / name), tmp_path / "out.safetensors", tmp_path / "g.png"
    mean = tmp_path / "avg_latent_stylegan1.npy"
    options = ["--mean-latent", mean] if mean.exists() else []
    done = cli(IMPORT, source, out, "--render", grid, "--license", "CC0-1.0", *options)
    assert done.code == 0, done.err
    for part in (*parts, name, sha256_of_file(source), sha256_of_file(out), "ommercial use"):
        assert part in done.out, done.out
    assert done.out.rstrip().endswith(f"Next: datasetgan new PROJECT --generator {out}")
    generator = load_generator(out)
    assert f"{sum(p.numel() for p in generator.parameters()):,} parameters" in done.out
    card = read_checkpoint(out, kind="generator").card
    assert (card.source, card.licence) == (name, "CC0-1.0")
    assert "Stated licence: CC0-1.0." in done.out
    # Random weights are no trained network; both the card and the screen say so.
    assert done.out.count("Warning: ") == (card.notes or "").count("Warning: ") > 0
    with Image.open(grid) as image:
        assert image.size == (4 * generator.resolution, 4 * generator.resolution)


def test_a_trained_network_raises_no_doubt(cli: Cli, tmp_path: Path) -> None:
    trained = dict(load_generator("wbc").state_dict())
    source = writers.write_torch_zip(tmp_path / "x.pt", trained)
    done = cli(IMPORT, source, tmp_path / "out.safetensors")
    assert done.code == 0
    assert "are as a trained network's" in done.out
    assert "Warning" not in done.out


@pytest.mark.parametrize(("name", "write", "parts"), FILES, ids=[name for name, *_ in FILES])
def test_new_imports_on_the_way(
    cli: Cli, tmp_path: Path, name: str, write: Maker, parts: tuple[str, ...]
) -> None:
    source, folder, out = write(tmp_path / name), tmp_path / "p", tmp_path / "out.safetensors"
    made = cli("new", folder, "--generator", source, "--classes", CLASSES, "--license", "mine")
    assert made.code == 0, made.err
    for part in (*parts, name, "Stated licence: mine.", f"datasetgan sample {folder} -n 16"):
        assert part in made.out, made.out
    # The same bytes as import-checkpoint writes.
    assert cli(IMPORT, source, out, "--license", "mine").code == 0
    assert (folder / "generator.safetensors").read_bytes() == out.read_bytes()
    assert cli("sample", folder, "-n", 2, "--threads", 1).code == 0
    project = Project.open(folder)
    assert all(check.matches for check in project.verify_samples(project.load_generator()))


def test_new_takes_a_mean_latent(cli: Cli, tmp_path: Path) -> None:
    source = datasetgans(tmp_path / "x.pt")
    mean = tmp_path / "avg_latent_stylegan1.npy"
    options = ("--classes", CLASSES, "--mean-latent", mean)
    assert cli("new", tmp_path / "p", "--generator", source, *options).code == 0
    w_avg = load_generator(tmp_path / "p/generator.safetensors").state_dict()["mapping.w_avg"]
    assert np.array_equal(w_avg.numpy(), np.load(mean)[: len(w_avg)])


def test_new_with_what_is_native(cli: Cli, tmp_path: Path, generator_file: Path) -> None:
    folder = tmp_path / "p"
    for native in (generator_file, "wbc"):
        for option in ("--license", "--mean-latent"):
            outcome = cli("new", folder, "--generator", native, "--classes", "a,b", option, "x")
            assert_refused(outcome, "native checkpoint with a card of its own")
            assert not folder.exists()
    made = cli("new", folder, "--generator", generator_file, "--classes", "a,b")
    assert "Layout" not in made.out
    assert (folder / "generator.safetensors").read_bytes() == generator_file.read_bytes()


def test_a_file_in_the_way(cli: Cli, tmp_path: Path, generator_file: Path) -> None:
    source, out = snapshot(tmp_path / "x.pkl"), tmp_path / "out.safetensors"
    assert cli(IMPORT, source, out).code == 0
    first = out.read_bytes()
    # The same command again, or with other options, replaces its own result.
    assert cli(IMPORT, source, out, "--license", "CC0-1.0").code == 0
    assert out.read_bytes() != first
    assert cli(IMPORT, source, out).code == 0
    assert out.read_bytes() == first
    other = rosinality(tmp_path / "y.pt")
    for place in (out, generator_file, source, tmp_path):
        before = place.read_bytes() if place.is_file() else None
        outcome = cli(IMPORT, other, place)
        assert_refused(outcome, str(place), "exists and is no import of", "Choose another name")
        assert before is None or place.read_bytes() == before
    assert_refused(cli(IMPORT, source, source), "is the file to import")
    for grid in (source, tmp_path / "grid.jpg"):
        outcome = cli(IMPORT, source, tmp_path / "new.safetensors", "--render", grid)
        assert_refused(outcome, "a PNG of its own")
    blocked = cli(IMPORT, source, tmp_path / "new.safetensors", "--render", source / "g.png")
    assert_refused(blocked, "cannot write")
    assert not (tmp_path / "new.safetensors").exists()


def test_settings_by_hand(cli: Cli, tmp_path: Path) -> None:
    source, out = numpy_archive(tmp_path / "x.npz"), tmp_path / "out.safetensors"
    assert cli(IMPORT, source, out, "--config", '{"conv_clamp": 256}').code == 0
    assert read_checkpoint(out, kind="generator").config["conv_clamp"] == 256
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(KWARGS))
    assert cli(IMPORT, source, out, "--config", path, "--layout", "nvidia-stylegan2").code == 0
    assert "conv_clamp" not in read_checkpoint(out, kind="generator").config
    before = out.read_bytes()
    (tmp_path / "list.json").write_text("[1]")
    for config, parts in {
        '{"conv_clamp": ': ("not valid JSON", "init_kwargs as a JSON object"),
        "{" + '"a": [' * 100_000: ("not valid JSON",),
        str(tmp_path / "none.json"): ("none.json cannot be read", "No such file"),
        str(tmp_path / "list.json"): ("holds a list",),
        str(source): ("x.npz is not valid JSON",),
        '{"conv_clmp": 1}': ("x.npz", "not supported: conv_clmp"),
        json.dumps(KWARGS | {"img_resolution": 64}): ("x.npz", "missing: synthesis.b64"),
        '{"conv_clamp": NaN}': ("not valid JSON", "NaN is no number"),
    }.items():
        assert_refused(cli(IMPORT, source, out, "--config", config), *parts)
    assert out.read_bytes() == before


def test_names_that_are_unknown(cli: Cli, tmp_path: Path) -> None:
    source, out = snapshot(tmp_path / "x.pkl"), tmp_path / "out.safetensors"
    outcome = cli(IMPORT, source, out, "--layout", "nvidia-stylgan2")
    assert_refused(outcome, "Did you mean 'nvidia-stylegan2'?", "auto", *LAYOUTS)
    outcome = cli(IMPORT, source, out, "--layout", "rosinality-stylegan2")
    assert_refused(outcome, "x.pkl")
    outcome = cli(IMPORT, source, out, "--network", "Gs")
    assert_refused(outcome, "unknown network 'Gs'", "D, G, G_ema")
    two = writers.write_torch_zip(tmp_path / "y.pt", {"a": tiny_state(), "b": tiny_state()})
    assert_refused(cli(IMPORT, two, out), "several networks", "a, b", "--network")
    assert cli(IMPORT, two, out, "--network", "b").code == 0


def test_a_class_conditional_generator(cli: Cli, tmp_path: Path) -> None:
    config = StyleGAN2Config(
        resolution=8, z_dim=4, w_dim=4, label_dim=3, mapping_layers=1, channel_base=32
    )
    source = writers.write_torch_zip(tmp_path / "x.pt", dict(StyleGAN2(config).state_dict()))
    done = cli(IMPORT, source, tmp_path / "out.safetensors")
    assert done.code == 0, done.err
    assert "conditioned on 3 classes: projects cannot hold it yet" in done.out
    assert "Next:" not in done.out
    for generator in (source, tmp_path / "out.safetensors"):
        outcome = cli("new", tmp_path / "p", "--generator", generator, "--classes", "a,b")
        assert_refused(outcome, str(generator), "class-conditional (3 labels)", "unconditional")
        assert not (tmp_path / "p").exists()


def test_an_interrupted_new_leaves_nothing(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = snapshot(tmp_path / "x.pkl")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("datasetgan.project.create.load_generator", interrupted)
    outcome = cli("new", tmp_path / "deep/p", "--generator", source, "--classes", "a,b")
    assert outcome.code == 130
    assert not (tmp_path / "deep").exists()


def names(*tensors: str) -> Maker:
    return lambda path: writers.write_torch_zip(path, {name: torch.ones(2) for name in tensors})


def discriminator(path: Path) -> Path:
    network = writers.nvidia_network("Discriminator", {"b4.out.weight": torch.ones(1)}, {})
    return writers.write_pickle(path, {"D": network, "G_ema": None})


def text(content: str) -> Maker:
    def write(path: Path) -> Path:
        path.write_text(content)
        return path

    return write


def locked(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"secret")
    data = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + place] |= 1
    path.write_bytes(data)
    return path


def cut(write: Maker) -> Maker:
    def truncated(path: Path) -> Path:
        data = write(path).read_bytes()
        path.write_bytes(data[: len(data) * 2 // 3])
        return path

    return truncated


def hostile(path: Path) -> Path:
    call = writers.Call(writers.Name("os", "system"), (f"touch {path.with_name('pwned')}",))
    return writers.write_pickle(path, {"G_ema": call})


def diverged(path: Path) -> Path:
    state = tiny_state() | {"mapping.w_avg": torch.full((8,), torch.nan)}
    return writers.write_torch_zip(path, state)


def native(path: Path) -> Path:
    save_generator(path, build_tiny_generator(), card=WeightCard(title="tiny"))
    return path


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n"
WRONG: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "discriminator": (discriminator, ("holds a discriminator ('D')", "no generator")),
    "diffusers": (
        names("time_embedding.linear_1.weight", "down_blocks.0.resnets.0.conv1.weight"),
        ("a diffusion model (diffusers",),
    ),
    "BigGAN": (names("shared.weight", "blocks.0.0.bn1.gain.weight"), ("holds a BigGAN",)),
    "segmentation": (names("backbone.conv1.weight", "classifier.4.weight"), ("a segmentation",)),
    "web page": (text("<!DOCTYPE html><html>Quota exceeded</html>"), ("is a web page",)),
    "git lfs": (text(LFS), ("a Git LFS pointer", "git lfs pull")),
    "password": (locked, ("protected by a password",)),
    "truncated pickle": (cut(snapshot), ("truncated",)),
    "truncated zip": (cut(rosinality), ("x.pkl",)),
    "truncated safetensors": (cut(safetensors), ("truncated",)),
    "hostile": (hostile, ("os.system",)),
    "not finite": (diverged, ("mapping.w_avg hold NaN", "earlier snapshot")),
    "nothing known": (names("encoder.weight"), ("no layout knows", "encoder.weight")),
    "empty": (text(""), ("is empty",)),
    "missing": (lambda path: path, ("does not exist",)),
    "other settings": (
        lambda path: snapshot(path, w_dim=1 << 20),
        ("they describe at least", "weights"),
    ),
}


@pytest.mark.parametrize(("write", "parts"), WRONG.values(), ids=list(WRONG))
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_wrong_file_is_named_and_nothing_is_written(
    cli: Cli, tmp_path: Path, write: Maker, parts: tuple[str, ...]
) -> None:
    source = write(tmp_path / "x.pkl")
    out, grid, folder = tmp_path / "out.safetensors", tmp_path / "grid.png", tmp_path / "p"
    before = sorted(tmp_path.iterdir())
    assert_refused(cli(IMPORT, source, out, "--render", grid), str(source), *parts)
    assert sorted(tmp_path.iterdir()) == before
    outcome = cli("new", folder, "--generator", source, "--classes", CLASSES)
    assert_refused(outcome, *(parts if source.exists() else ("unknown generator",)))
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_native_already(cli: Cli, tmp_path: Path) -> None:
    source = native(tmp_path / "x.safetensors")
    outcome = cli(IMPORT, source, tmp_path / "out.safetensors")
    assert_refused(outcome, "already a native generator checkpoint")


@pytest.mark.parametrize("write", [snapshot, rosinality, safetensors])
def test_other_commands_point_to_the_import(cli: Cli, tmp_path: Path, write: Maker) -> None:
    source = write(tmp_path / "x.pkl")
    outcome = cli(*("train-generator", tmp_path), *("--out", tmp_path / "o"), "--from", source)
    assert_refused(outcome, "x.pkl", "datasetgan import-checkpoint")
