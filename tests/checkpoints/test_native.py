"""Native checkpoints: round trip, and every way in which a file can be wrong."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from datasetgan.checkpoints.generator_files import load_generator, save_generator
from datasetgan.checkpoints.importers import import_state_dict
from datasetgan.checkpoints.native import WeightCard, read_checkpoint, write_checkpoint
from datasetgan.errors import CheckpointError, UsageError
from datasetgan.generators import StyleGAN2, sample_latents

CARD = WeightCard(title="test", licence="CC0-1.0", images_seen=7, scores={"kid": 0.5})


@pytest.fixture
def saved(tmp_path: Path, tiny_generator: StyleGAN2) -> Path:
    path = tmp_path / "generator.safetensors"
    save_generator(path, tiny_generator, card=CARD)
    return path


def rewrite(path: Path, generator: StyleGAN2, tensors: dict[str, Tensor]) -> None:
    write_checkpoint(
        path,
        tensors,
        kind="generator",
        architecture="stylegan2",
        config=generator.config,
        card=CARD,
    )


def test_round_trip(saved: Path, tiny_generator: StyleGAN2) -> None:
    loaded = load_generator(saved)
    assert isinstance(loaded, StyleGAN2)
    assert loaded.config == tiny_generator.config
    ws = sample_latents(tiny_generator, [1, 2]).ws
    assert torch.equal(loaded.synthesize(ws).image, tiny_generator.synthesize(ws).image)
    checkpoint = read_checkpoint(saved, kind="generator")
    assert checkpoint.card == CARD
    assert loaded.digest == checkpoint.sha256
    assert not any(p.requires_grad for p in loaded.parameters())


def test_bytes_depend_on_the_weights_alone(
    saved: Path, tmp_path: Path, tiny_generator: StyleGAN2
) -> None:
    again = tmp_path / "again.safetensors"
    save_generator(again, tiny_generator, card=CARD)
    assert saved.read_bytes() == again.read_bytes()


def test_a_missing_file_names_the_embedded_generators(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"unknown generator.*path of a \.safetensors"):
        load_generator(tmp_path / "none.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_named(saved: Path, share: float) -> None:
    data = saved.read_bytes()
    saved.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match=r"generator\.safetensors is truncated"):
        load_generator(saved)


def test_every_difference_is_listed(saved: Path, tiny_generator: StyleGAN2) -> None:
    tensors = dict(tiny_generator.state_dict())
    tensors["synthesis.b8.conv1.wieght"] = tensors.pop("synthesis.b8.conv1.weight")
    tensors["mapping.w_avg"] = torch.zeros(9)
    rewrite(saved, tiny_generator, tensors)
    with pytest.raises(CheckpointError) as caught:
        load_generator(saved)
    message = str(caught.value)
    assert "missing: synthesis.b8.conv1.weight" in message
    assert "unexpected: synthesis.b8.conv1.wieght" in message
    assert "misshapen: mapping.w_avg is [9], expected [8]" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_weights_are_refused(saved: Path, tiny_generator: StyleGAN2, value: float) -> None:
    tensors = {k: v.clone() for k, v in tiny_generator.state_dict().items()}
    tensors["synthesis.b4.const"][0, 0, 0] = value
    rewrite(saved, tiny_generator, tensors)
    with pytest.raises(CheckpointError, match=r"synthesis\.b4\.const hold NaN or infinite"):
        load_generator(saved)


def test_another_kind_is_named(saved: Path) -> None:
    with pytest.raises(CheckpointError, match="is a generator checkpoint; expected a segmenter"):
        read_checkpoint(saved, kind="segmenter")


def test_foreign_safetensors_are_named(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not a DatasetGAN checkpoint"):
        load_generator(path)


def test_an_unknown_architecture_lists_the_valid_ones(
    saved: Path, tiny_generator: StyleGAN2
) -> None:
    write_checkpoint(
        saved,
        tiny_generator.state_dict(),
        kind="generator",
        architecture="stylegan9",
        config=tiny_generator.config,
        card=CARD,
    )
    with pytest.raises(CheckpointError, match=r"unknown architecture 'stylegan9'.*stylegan2"):
        load_generator(saved)


def test_a_failed_write_leaves_the_old_file(
    saved: Path, tiny_generator: StyleGAN2, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Exception, match="the disk is full"):
        save_generator(saved, tiny_generator, card=CARD)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


class TestImport:
    def test_an_unknown_layout_lists_the_valid_ones(self) -> None:
        with pytest.raises(UsageError, match="nvidia-stylegan2"):
            import_state_dict({}, layout="nvidia-stylegan7", config={})  # type: ignore[arg-type]

    def test_an_unsupported_setting_is_named(self) -> None:
        with pytest.raises(CheckpointError, match="resample_filter"):
            import_state_dict(
                {},
                layout="nvidia-stylegan2",
                config={"img_resolution": 8, "resample_filter": [1, 2, 1]},
            )

    def test_differences_are_listed(self, tiny_generator: StyleGAN2) -> None:
        state = dict(tiny_generator.state_dict())
        del state["mapping.w_avg"]
        config = {
            "img_resolution": 32,
            "z_dim": 8,
            "w_dim": 8,
            "channel_base": 256,
            "channel_max": 16,
            "mapping_kwargs": {"num_layers": 2},
        }
        with pytest.raises(CheckpointError, match=r"missing: mapping\.w_avg"):
            import_state_dict(state, layout="nvidia-stylegan2", config=config)
