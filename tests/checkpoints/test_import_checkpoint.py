"""A foreign file to a native checkpoint, with its card."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from datasetgan.checkpoints.generator_files import load_generator
from datasetgan.checkpoints.import_checkpoint import import_checkpoint
from datasetgan.checkpoints.native import read_checkpoint
from datasetgan.errors import CheckpointError, UsageError
from datasetgan.generators import StyleGAN2
from datasetgan.serialization import sha256_of_file
from tests.checkpoints import writers
from tests.checkpoints.test_layout_rosinality import their_state

GOLDEN = Path(__file__).parent.parent / "golden"
KWARGS: dict[str, Any] = {
    "z_dim": 8,
    "c_dim": 0,
    "w_dim": 8,
    "img_resolution": 32,
    "img_channels": 3,
    "mapping_kwargs": {"num_layers": 2},
    "synthesis_kwargs": {"channel_base": 256, "channel_max": 16, "num_fp16_res": 2},
}


@pytest.fixture
def state(tiny_generator: StyleGAN2) -> dict[str, Tensor]:
    tiny_generator.mapping.w_avg.normal_(generator=torch.Generator().manual_seed(0))
    return dict(tiny_generator.state_dict())


def write_snapshot(path: Path, networks: dict[str, dict[str, Tensor]]) -> Path:
    value = {
        name: writers.nvidia_network("Generator", state, KWARGS, buffers=("w_avg", "noise_const"))
        for name, state in networks.items()
    }
    return writers.write_pickle(path, value)


def same_function(path: Path, original: StyleGAN2) -> bool:
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(1))
    ws = original.map(z, truncation_psi=0.7)
    loaded = load_generator(path)
    return torch.equal(loaded.map(z, truncation_psi=0.7), ws) and torch.equal(
        loaded.synthesize(ws).image, original.synthesize(ws).image
    )


def test_a_snapshot_of_nvidia(
    tmp_path: Path, tiny_generator: StyleGAN2, state: dict[str, Tensor]
) -> None:
    other = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    source = write_snapshot(tmp_path / "snapshot.pkl", {"G": other, "G_ema": state})
    out, grid = tmp_path / "native.safetensors", tmp_path / "grid.png"
    report = import_checkpoint(source, out, licence="CC-BY-4.0", render=grid)
    assert same_function(out, tiny_generator)
    assert (report.layout, report.architecture) == ("nvidia-stylegan2", "stylegan2")
    assert report.parameters == sum(p.numel() for p in tiny_generator.parameters())
    card = read_checkpoint(out, kind="generator").card
    assert card == report.card
    assert card.source == "snapshot.pkl"
    assert card.source_sha256 == sha256_of_file(source)
    assert card.licence == "CC-BY-4.0"
    assert card.settings == (
        "layout=nvidia-stylegan2 architecture=stylegan2 format=nvidia-pickle network=G_ema"
    )
    assert card.notes is not None
    assert "non-commercial" in card.notes
    assert card.title == "StyleGAN2, 32 px, imported from snapshot.pkl"
    with Image.open(grid) as image:
        assert image.size == (128, 128)


def test_a_trained_network_passes(tmp_path: Path) -> None:
    trained = dict(load_generator("wbc").state_dict())
    source = writers.write_torch_zip(tmp_path / "x.pt", trained)
    report = import_checkpoint(source, tmp_path / "out.safetensors")
    assert report.plausibility.ok
    assert "Warning" not in (report.card.notes or "")


def test_datasetgans_own_with_its_mean_latent_beside(tmp_path: Path) -> None:
    with safe_open(GOLDEN / "stylegan1_64.safetensors", "pt") as file:
        golden = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    params = {k.removeprefix("param."): v for k, v in golden.items() if k.startswith("param.")}
    source = writers.write_torch_zip(tmp_path / "cars.for_g_all.pt", params)
    np.save(tmp_path / "avg_latent_stylegan1.npy", golden["avg_latent"].numpy())
    out = tmp_path / "out.safetensors"
    report = import_checkpoint(source, out, mean_latent=tmp_path / "avg_latent_stylegan1.npy")
    assert (report.layout, report.architecture) == ("datasetgan-stylegan1", "stylegan1")
    ws = load_generator(out).map(golden["z"], truncation_psi=0.7)
    assert torch.allclose(ws, golden["ws_truncated"], atol=1e-4)


def test_a_network_that_looks_untrained_says_so(tmp_path: Path, state: dict[str, Tensor]) -> None:
    zeros = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    source = write_snapshot(tmp_path / "x.pkl", {"G": zeros, "G_ema": state})
    report = import_checkpoint(source, tmp_path / "out.safetensors", network="G")
    assert not report.plausibility.ok
    assert report.card.licence == "unknown"
    assert "Warning: the pictures are nearly one colour" in (report.card.notes or "")
    assert "network=G" in (report.card.settings or "")


def test_plain_state_dicts(
    tmp_path: Path, tiny_generator: StyleGAN2, state: dict[str, Tensor]
) -> None:
    prefixed = {f"module.G_ema.{name}": tensor for name, tensor in state.items()}
    safetensors = writers.write_safetensors(tmp_path / "x.safetensors", prefixed)
    np.savez(tmp_path / "x.npz", **{name: tensor.numpy() for name, tensor in state.items()})
    torch_zip = writers.write_torch_zip(tmp_path / "x.pt", {"g_ema": state, "iteration": 3})
    for source in (safetensors, tmp_path / "x.npz", torch_zip):
        out = tmp_path / f"{source.suffix[1:]}.native.safetensors"
        import_checkpoint(source, out)
        assert same_function(out, tiny_generator)


def test_rosinality_with_its_mean_latent_beside(
    tmp_path: Path, tiny_generator: StyleGAN2, state: dict[str, Tensor]
) -> None:
    theirs = their_state(tiny_generator)
    mean = theirs.pop("latent_avg")
    source = writers.write_torch_zip(tmp_path / "x.pt", {"g_ema": theirs, "latent_avg": mean})
    report = import_checkpoint(source, tmp_path / "out.safetensors")
    assert report.layout == "rosinality-stylegan2"
    assert same_function(tmp_path / "out.safetensors", tiny_generator)
    bare = writers.write_torch_zip(tmp_path / "bare.pt", {"g_ema": theirs})
    report = import_checkpoint(bare, tmp_path / "out.safetensors")
    assert "Mean latent taken over 4096 mapped latents." in (report.card.notes or "")


@pytest.mark.parametrize("rows", [1, 18, None])
def test_a_mean_latent_from_a_file(
    tmp_path: Path, tiny_generator: StyleGAN2, state: dict[str, Tensor], rows: int | None
) -> None:
    mean = state.pop("mapping.w_avg").numpy().copy()
    np.save(tmp_path / "mean.npy", mean if rows is None else np.tile(mean, (rows, 1)))
    source = writers.write_torch_zip(tmp_path / "x.pt", state)
    out = tmp_path / "out.safetensors"
    with pytest.raises(CheckpointError, match=r"x\.pt: .*missing: mapping\.w_avg"):
        import_checkpoint(source, out)
    report = import_checkpoint(source, out, mean_latent=tmp_path / "mean.npy")
    assert same_function(out, tiny_generator)
    assert "Mean latent from mean.npy." in (report.card.notes or "")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.arange(16.0).reshape(2, 8), "2 rows that differ"),
        (np.full(8, np.nan), "empty or not finite"),
        (np.zeros(0), "empty or not finite"),
        (np.float32(1), "empty or not finite"),
        (np.array([{"a": 1}]), "not the .npy file"),
        (np.array(["a"]), "not the .npy file"),
    ],
)
def test_what_is_no_mean_latent(
    tmp_path: Path, state: dict[str, Tensor], array: Any, message: str
) -> None:
    np.save(tmp_path / "mean.npy", array, allow_pickle=True)
    source = writers.write_torch_zip(tmp_path / "x.pt", state)
    with pytest.raises(CheckpointError, match=message):
        import_checkpoint(source, tmp_path / "out.safetensors", mean_latent=tmp_path / "mean.npy")
    assert not (tmp_path / "out.safetensors").exists()


def test_settings_stated_by_the_user(tmp_path: Path, state: dict[str, Tensor]) -> None:
    source = writers.write_torch_zip(tmp_path / "x.pt", state)
    out = tmp_path / "out.safetensors"
    import_checkpoint(source, out, config={"conv_clamp": 256})
    assert read_checkpoint(out, kind="generator").config["conv_clamp"] == 256


def test_the_stylegan2_beside_stylegan3_clamps(tmp_path: Path, state: dict[str, Tensor]) -> None:
    kwargs = {**KWARGS, "fused_modconv_default": "inference_only"}
    network = writers.nvidia_network("Generator", state, kwargs, buffers=("w_avg", "noise_const"))
    source = writers.write_pickle(tmp_path / "x.pkl", {"G_ema": network})
    out = tmp_path / "out.safetensors"
    import_checkpoint(source, out)
    assert read_checkpoint(out, kind="generator").config["conv_clamp"] == 256


def test_the_choice_between_networks(tmp_path: Path, state: dict[str, Tensor]) -> None:
    source = write_snapshot(tmp_path / "x.pkl", {"first": state, "second": state})
    with pytest.raises(UsageError, match=r"several networks.*first, second\. Say which"):
        import_checkpoint(source, tmp_path / "out.safetensors")
    import_checkpoint(source, tmp_path / "out.safetensors", network="second")
    with pytest.raises(CheckpointError, match="unknown network 'third'"):
        import_checkpoint(source, tmp_path / "out.safetensors", network="third")


def test_wrong_arguments(tmp_path: Path, state: dict[str, Tensor]) -> None:
    source = writers.write_torch_zip(tmp_path / "x.pt", state)
    with pytest.raises(UsageError, match=r"unknown layout 'stylegan2'.*auto"):
        import_checkpoint(source, tmp_path / "out.safetensors", layout="stylegan2")
    before = source.read_bytes()
    with pytest.raises(UsageError, match="is the file to import"):
        import_checkpoint(source, tmp_path / "." / "x.pt")
    assert source.read_bytes() == before
    with pytest.raises(CheckpointError, match=r"x\.pt: .*rosinality-stylegan2 state dict"):
        import_checkpoint(
            source, tmp_path / "o.safetensors", layout="rosinality-stylegan2", config=KWARGS
        )
    unknown = writers.write_torch_zip(tmp_path / "y.pt", {"encoder.weight": torch.zeros(2)})
    with pytest.raises(CheckpointError, match=r"y\.pt: no layout knows.*encoder\.weight"):
        import_checkpoint(unknown, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
