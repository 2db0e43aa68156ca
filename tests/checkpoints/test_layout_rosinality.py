"""rosinality's layout of StyleGAN2, against independent outputs and a name table of its own."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from datasetgan.checkpoints.importers import import_state_dict, recognize_layout
from datasetgan.errors import CheckpointError
from datasetgan.generators import StyleGAN2, StyleGAN2Config
from datasetgan.runtime import Runtime

GOLDEN = Path(__file__).parent.parent / "golden" / "stylegan2_rosinality_32.safetensors"
NAME = "rosinality-stylegan2"


def relative(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).abs().max() / expected.abs().max()).item()


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with safe_open(GOLDEN, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


@pytest.fixture
def state(golden: dict[str, Tensor]) -> dict[str, Tensor]:
    params = {k.removeprefix("param."): v for k, v in golden.items() if k.startswith("param.")}
    return params | {"latent_avg": golden["latent_avg"]}


def test_golden(golden: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    assert recognize_layout(state) == NAME
    generator = import_state_dict(state, layout=NAME).place(Runtime())
    w = generator.map(golden["z"])
    assert relative(w[:, 0], golden["w"]) < 1e-4
    ws = generator.map(golden["z"], truncation_psi=0.7)
    by_hand = golden["latent_avg"] + 0.7 * (golden["w"] - golden["latent_avg"])
    assert relative(ws, by_hand[:, None].expand_as(ws)) < 1e-4
    synthesis = generator.synthesize(ws)
    assert relative(synthesis.image, golden["image"]) < 1e-4
    expected = [golden[k] for k in sorted(golden) if k.startswith("feature.")]
    for (level, feature), wanted in zip(synthesis.features.items(), expected, strict=True):
        assert relative(feature, wanted) < 1e-4, level.name


def their_state(generator: StyleGAN2) -> dict[str, Tensor]:
    """Our tensors under rosinality's names, in the order in which its constructor makes them."""
    own = dict(generator.state_dict())
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    filter_ = torch.outer(taps, taps) / 16
    theirs: dict[str, Tensor] = {}

    def modulated(prefix: str, ours: str) -> None:
        theirs[f"{prefix}.conv.weight"] = own.pop(f"{ours}.weight")[None]
        theirs[f"{prefix}.conv.modulation.weight"] = own.pop(f"{ours}.affine.weight")
        theirs[f"{prefix}.conv.modulation.bias"] = own.pop(f"{ours}.affine.bias")

    def styled(prefix: str, ours: str, noise: int) -> None:
        modulated(prefix, ours)
        theirs[f"{prefix}.noise.weight"] = own.pop(f"{ours}.noise_strength")[None]
        theirs[f"{prefix}.activate.bias"] = own.pop(f"{ours}.bias")
        theirs[f"noises.noise_{noise}"] = own.pop(f"{ours}.noise_const")[None, None]

    def to_rgb(prefix: str, ours: str) -> None:
        modulated(prefix, ours)
        theirs[f"{prefix}.bias"] = own.pop(f"{ours}.bias")[None, :, None, None]

    for i in range(generator.config.mapping_layers):
        for part in ("weight", "bias"):
            theirs[f"style.{i + 1}.{part}"] = own.pop(f"mapping.fc{i}.{part}")
    theirs["latent_avg"] = own.pop("mapping.w_avg")
    theirs["input.input"] = own.pop("synthesis.b4.const")[None]
    styled("conv1", "synthesis.b4.conv1", 0)
    to_rgb("to_rgb1", "synthesis.b4.torgb")
    convs = 0
    for i, resolution in enumerate(generator.config.block_resolutions[1:]):
        for conv in ("conv0", "conv1"):
            styled(f"convs.{convs}", f"synthesis.b{resolution}.{conv}", convs + 1)
            if conv == "conv0":
                theirs[f"convs.{convs}.conv.blur.kernel"] = filter_
            convs += 1
        to_rgb(f"to_rgbs.{i}", f"synthesis.b{resolution}.torgb")
        theirs[f"to_rgbs.{i}.upsample.kernel"] = filter_
    assert not own
    return theirs


def test_every_size_comes_back() -> None:
    torch.manual_seed(0)
    config = StyleGAN2Config(
        resolution=64, z_dim=8, w_dim=8, mapping_layers=2, channel_base=256, channel_max=16
    )
    original = StyleGAN2(config)
    with torch.no_grad():
        for tensor in original.state_dict().values():
            tensor.normal_()
    imported = import_state_dict(their_state(original), layout=NAME)
    assert isinstance(imported, StyleGAN2)
    assert imported.config == config
    for name, tensor in original.state_dict().items():
        assert torch.equal(imported.state_dict()[name], tensor), name


def test_a_missing_mean_latent_is_the_mean_of_mapped_latents(state: dict[str, Tensor]) -> None:
    del state["latent_avg"]
    generator = import_state_dict(state, layout=NAME).place(Runtime())
    w = generator.map(torch.randn(20_000, 32, generator=torch.Generator().manual_seed(3)))[:, 0]
    assert isinstance(generator, StyleGAN2)
    standard_error = w.std(dim=0) * (1 / 20_000 + 1 / 4096) ** 0.5
    assert ((generator.mapping.w_avg - w.mean(dim=0)).abs() < 5 * standard_error).all()


def test_missing_noise_maps_are_always_the_same(state: dict[str, Tensor]) -> None:
    bare = {name: t for name, t in state.items() if not name.startswith("noises.")}
    first, second = (import_state_dict(bare, layout=NAME).state_dict() for _ in range(2))
    names = [name for name in first if name.endswith("noise_const")]
    assert len(names) == 7
    for name in names:
        assert torch.equal(first[name], second[name])
        assert first[name].std().item() == pytest.approx(1, abs=0.5)
    assert not torch.equal(first[names[1]], first[names[2]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"convs.0.conv.blur.kernel": torch.ones(4, 4) / 4}, "blur.kernel is not the filter"),
        ({"to_rgbs.1.upsample.kernel": torch.ones(2, 2)}, "upsample.kernel is not the filter"),
        ({"noises.noise_3": None}, "missing: noises.noise_3"),
        ({"convs.2.activate.bias": None, "x": torch.zeros(1)}, "convs.2.activate.bias; unexp.*: x"),
        ({"convs.2.activate.bias": torch.zeros(7)}, "b16.conv0.bias is .7., expected .32."),
        ({"conv1.conv.weight": torch.zeros(32, 32, 3, 3)}, "expected 5 axes"),
        ({"convs.3.conv.weight": None}, "convs.3.conv.weight is missing"),
    ],
)
def test_what_does_not_fit_is_named(
    state: dict[str, Tensor], change: dict[str, Tensor | None], message: str
) -> None:
    changed = {name: t for name, t in (state | change).items() if t is not None}
    with pytest.raises(CheckpointError, match=message):
        import_state_dict(changed, layout=NAME)


def test_settings_of_another_network_are_refused(state: dict[str, Tensor]) -> None:
    with pytest.raises(CheckpointError, match="no clamp; got 'skip', c_dim 0, conv_clamp 256"):
        import_state_dict(state, layout=NAME, config={"conv_clamp": 256})
