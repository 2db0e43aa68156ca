"""Files of other projects: every format, what is read out of it, what a wrong file is called."""

import gzip
import io
import json
import pickle  # noqa: TID251 - what the machine is compared with
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from datasetgan.checkpoints.foreign_files import ForeignFile, read_foreign
from datasetgan.checkpoints.generator_files import save_generator
from datasetgan.checkpoints.native import WeightCard
from datasetgan.errors import CheckpointError
from datasetgan.generators import StyleGAN2
from datasetgan.serialization import sha256_of_file
from tests.checkpoints import writers

KWARGS = {"z_dim": 4, "c_dim": 0, "img_resolution": 8, "mapping_kwargs": {"num_layers": 2}}


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        "mapping.fc0.weight": torch.randn(3, 4),
        "mapping.w_avg": torch.randn(4),
        "synthesis.b4.const": torch.randn(2, 2, 3).permute(2, 0, 1),  # strides of its own
        "synthesis.b4.empty": torch.zeros(0, 3),
        "synthesis.b4.strength": torch.tensor(0.5),
    }


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(
        found[name].dtype == wanted[name].dtype and torch.equal(found[name], wanted[name])
        for name in wanted
    )


class TestNvidiaPickles:
    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_networks_with_their_settings(
        self, tmp_path: Path, tensors: dict[str, Tensor], protocol: int
    ) -> None:
        snapshot = {
            "G": None,
            "D": writers.nvidia_network("Discriminator", tensors, {}),
            "G_ema": writers.nvidia_network("Generator", tensors, KWARGS),
            "augment_pipe": None,
            "training_set_kwargs": {"path": "photos.zip", "use_labels": False},
        }
        path = writers.write_pickle(tmp_path / "x.pkl", snapshot, protocol=protocol)
        file = read_foreign(path)
        assert file.format == "nvidia-pickle"
        assert file.sha256 == sha256_of_file(path)
        assert sorted(file.networks) == ["D", "G_ema"]
        network = file.networks["G_ema"]
        assert network.name == "G_ema"
        assert network.class_name == "Generator"
        assert network.config == KWARGS
        assert same(network.tensors, tensors)

    def test_transient_buffers_are_left_out(
        self, tmp_path: Path, tensors: dict[str, Tensor]
    ) -> None:
        network = writers.nvidia_network("Generator", tensors, {}, transient=("w_avg",))
        file = read_foreign(writers.write_pickle(tmp_path / "x.pkl", {"G_ema": network}))
        del tensors["mapping.w_avg"]
        assert same(file.networks["G_ema"].tensors, tensors)

    def test_settings_without_names_are_no_settings(
        self, tmp_path: Path, tensors: dict[str, Tensor]
    ) -> None:
        state = {"_init_args": (4,), "_init_kwargs": {}, **writers.module_state(tensors)}
        network = writers.persistent_object("Generator", state)
        file = read_foreign(writers.write_pickle(tmp_path / "x.pkl", {"G_ema": network}))
        assert file.networks["G_ema"].config is None

    def test_a_setting_that_is_not_plain_shows(
        self, tmp_path: Path, tensors: dict[str, Tensor]
    ) -> None:
        kwargs = {"filter": writers.bytes_tensor(torch.ones(2)), "sizes": (1, 2)}
        network = writers.nvidia_network("Generator", tensors, kwargs)
        file = read_foreign(writers.write_pickle(tmp_path / "x.pkl", {"G_ema": network}))
        config = file.networks["G_ema"].config
        assert config == {"filter": "<TensorReference>", "sizes": [1, 2]}


class TestTensorFlowPickles:
    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_three_networks_with_components(self, tmp_path: Path, protocol: int) -> None:
        weight, mean = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(3, np.float32)
        mapping = writers.tf_network("G_mapping", {"Dense0/weight": weight}, {"dlatent_size": 3})
        parts = {"G_mapping": mapping}
        kwargs = {"resolution": 8, "num_channels": 3, "style_mixing_prob": None}
        gs = writers.tf_network("G_style", {"dlatent_avg": mean}, kwargs, components=parts)
        d = writers.tf_network("D_basic", {"FromRGB_lod0/weight": weight}, {}, name="D")
        file = read_foreign(
            writers.write_pickle(tmp_path / "x.pkl", (gs, d, gs), protocol=protocol)
        )
        assert file.format == "nvidia-tf-pickle"
        assert list(file.networks) == ["G", "D", "Gs"]
        network = file.networks["Gs"]
        assert network.class_name == "G_style"
        assert network.config == kwargs
        wanted = {"dlatent_avg": mean, "G_mapping/Dense0/weight": weight}
        assert same(network.tensors, {k: torch.from_numpy(v) for k, v in wanted.items()})

    def test_a_scalar_variable_is_a_tensor(self, tmp_path: Path) -> None:
        scalar = writers.Call(
            writers.Name("numpy.core.multiarray", "scalar"),
            (writers.dtype_value(np.dtype("f4")), np.float32(2.5).tobytes()),
        )
        gs = writers.tf_network("G_style", {}, {})
        gs.state["variables"] = [("lod", scalar)]
        file = read_foreign(writers.write_pickle(tmp_path / "x.pkl", (gs, gs, gs)))
        assert file.networks["Gs"].tensors["lod"] == torch.tensor(2.5)


class TestTorchFiles:
    @pytest.mark.parametrize("kind", ["torch-zip", "torch-legacy"])
    def test_rosinality(self, tmp_path: Path, tensors: dict[str, Tensor], kind: str) -> None:
        path = tmp_path / "x.pt"
        value = {"g_ema": tensors, "d": {"w": torch.ones(2)}, "latent_avg": torch.ones(3), "n": 7}
        if kind == "torch-zip":
            writers.write_torch_zip(path, value, root="550000")
        else:
            path.write_bytes(writers.legacy_bytes(value))
        file = read_foreign(path)
        assert file.format == kind
        assert same(file.networks["g_ema"].tensors, {**tensors, "latent_avg": torch.ones(3)})
        assert same(file.networks["d"].tensors, {"w": torch.ones(2)})

    @pytest.mark.parametrize("zipped", [True, False])
    def test_what_torch_itself_writes(
        self, tmp_path: Path, tensors: dict[str, Tensor], zipped: bool
    ) -> None:
        shared = torch.arange(12.0)
        state = OrderedDict(
            tensors,
            half=torch.ones(3, dtype=torch.float16),
            brain=torch.full((2,), 1.5, dtype=torch.bfloat16),
            count=torch.tensor(7),
            flag=torch.tensor([True, False]),
            parameter=nn.Parameter(torch.ones(2)),
            upper=shared[6:].reshape(2, 3),
            every_second=shared[::2],
        )
        optimiser = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
        path = tmp_path / "x.pt"
        value = {"state_dict": state, "optim": optimiser, "epoch": 3}
        torch.save(value, path, _use_new_zipfile_serialization=zipped)
        file = read_foreign(path)
        assert file.format == ("torch-zip" if zipped else "torch-legacy")
        assert list(file.networks) == ["state_dict"]
        assert same(file.networks["state_dict"].tensors, dict(state))

    def test_a_pickled_module_is_read_but_not_built(self, tmp_path: Path) -> None:
        module = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
        torch.save(module, tmp_path / "x.pt")
        file = read_foreign(tmp_path / "x.pt")
        assert same(file.networks[""].tensors, dict(module.state_dict()))

    def test_truncation_is_named_at_every_length(
        self, tmp_path: Path, tensors: dict[str, Tensor]
    ) -> None:
        for data in (
            writers.legacy_bytes({"g_ema": tensors}),
            writers.write_torch_zip(tmp_path / "y.pt", {"g_ema": tensors}).read_bytes(),
            writers.write_pickle(
                tmp_path / "z.pkl", {"G_ema": writers.nvidia_network("Generator", tensors, KWARGS)}
            ).read_bytes(),
        ):
            path = tmp_path / "x.pt"
            for end in range(1, len(data), max(1, len(data) // 60)):
                path.write_bytes(data[:end])
                with pytest.raises(CheckpointError, match=r"x\.pt"):
                    read_foreign(path)


class TestArrays:
    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_a_pickle_of_numpy_itself(self, tmp_path: Path, protocol: int) -> None:
        arrays = {
            "c": np.arange(6.0).reshape(2, 3),
            "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
            "big_endian": np.arange(4, dtype=">f4"),
            "bytes": np.arange(4, dtype=np.uint8),
            "scalar": np.array(3, dtype=np.int64),
            "flag": np.array([True, False]),
        }
        path = tmp_path / "x.pkl"
        path.write_bytes(pickle.dumps(arrays, protocol=protocol))
        file = read_foreign(path)
        assert file.format == "pickle"
        wanted = {
            k: torch.from_numpy(v.astype(v.dtype.newbyteorder("="))) for k, v in arrays.items()
        }
        assert same(file.networks[""].tensors, wanted)

    def test_both_names_of_numpy(self, tmp_path: Path) -> None:
        for module in ("core", "_core"):
            for protocol in (2, 4, 5):
                value = writers.array_value(np.ones(2), protocol=protocol, module=module)
                path = writers.write_pickle(tmp_path / "x.pkl", {"a": value}, protocol=protocol)
                assert torch.equal(
                    read_foreign(path).networks[""].tensors["a"], torch.ones(2).double()
                )

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_npz(self, tmp_path: Path, save: object) -> None:
        arrays = {
            "module.a": np.arange(6.0).reshape(2, 3),
            "module.f": np.asfortranarray(np.ones((2, 3), np.float32)),
            "module.n": np.array(3),
            "module.v": np.zeros(3, np.float16),
        }
        save(tmp_path / "x.npz", **arrays)  # type: ignore[operator]
        file = read_foreign(tmp_path / "x.npz")
        assert file.format == "npz"
        wanted = {k.removeprefix("module."): torch.from_numpy(v) for k, v in arrays.items()}
        assert same(file.networks[""].tensors, wanted)

    def test_objects_in_npz_are_refused(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "x.npz", a=np.array([{}], dtype=object))
        with pytest.raises(CheckpointError, match="no array of numbers"):
            read_foreign(tmp_path / "x.npz")


class TestNames:
    @pytest.mark.parametrize("prefix", ["module.", "G_ema.", "module.g_ema.", "_orig_mod.module."])
    def test_common_prefixes_are_removed(
        self, tmp_path: Path, tensors: dict[str, Tensor], prefix: str
    ) -> None:
        named = {prefix + name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(named, tmp_path / "x.safetensors")
        file = read_foreign(tmp_path / "x.safetensors")
        assert file.format == "safetensors"
        assert same(file.networks[""].tensors, tensors)

    def test_the_mean_latent_beside_does_not_hide_a_prefix(self, tmp_path: Path) -> None:
        value = {"g_ema": {"module.a": torch.ones(2)}, "latent_avg": torch.ones(3)}
        file = read_foreign(writers.write_torch_zip(tmp_path / "x.pt", value))
        assert sorted(file.networks["g_ema"].tensors) == ["a", "latent_avg"]

    def test_a_prefix_of_some_stays(self, tmp_path: Path) -> None:
        save_file({"module.a": torch.ones(2), "b": torch.ones(2)}, tmp_path / "x.safetensors")
        file = read_foreign(tmp_path / "x.safetensors")
        assert sorted(file.networks[""].tensors) == ["b", "module.a"]

    def test_one_member_is_read_alone(self, tmp_path: Path, tensors: dict[str, Tensor]) -> None:
        path = writers.write_torch_zip(tmp_path / "x.pt", {"g": tensors, "g_ema": tensors})
        assert list(read_foreign(path, member="g").networks) == ["g"]
        with pytest.raises(CheckpointError, match=r"x\.pt: unknown network 'G_ema'.*g, g_ema"):
            read_foreign(path, member="G_ema")


def html(path: Path) -> None:
    path.write_text("\n <!DOCTYPE html><html><body>Quota exceeded</body></html>")


def git_lfs(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n")


def git_annex(path: Path) -> None:
    path.write_text("/annex/objects/SHA256E-s12--ab.pkl\n")


def annex_link(path: Path) -> None:
    path.symlink_to(".git/annex/objects/SHA256E-s12--ab.pkl")


def encrypted_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("g.pkl", b"secret")
    data = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + place] |= 1
    path.write_bytes(data)


def zip_of_pickle(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/g.pkl", b"x")


def torchscript(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", b"x")
        archive.writestr("net/code/__torch__.py", b"x")


def tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())


WRONG = [
    (html, "is a web page"),
    (git_lfs, "Git LFS pointer.*git lfs pull"),
    (git_annex, "git-annex pointer.*git annex get"),
    (annex_link, "git-annex link.*git annex get"),
    (encrypted_zip, "protected by a password"),
    (zip_of_pickle, r"zip archive of 1 files.*give 'weights/g\.pkl'"),
    (torchscript, "TorchScript program"),
    (tar, "tar archive"),
    (lambda p: p.write_bytes(b""), "is empty"),
    (lambda p: p.write_text(json.dumps({"a": 1})), "a JSON file"),
    (lambda p: p.write_text("hello"), "plain text"),
    (lambda p: p.write_bytes(gzip.compress(b"x")), "gzip archive"),
    (lambda p: np.save(p.open("wb"), np.ones(2)), "single NumPy array"),
    (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n"), "PNG picture"),
    (lambda p: p.write_bytes(bytes(range(1, 200))), "begins with the bytes 01 02"),
    (lambda p: p.mkdir(), "is a folder"),
    (lambda p: None, "does not exist"),
]


@pytest.mark.parametrize(("make", "message"), WRONG)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_wrong_file_is_named_for_what_it_is(tmp_path: Path, make: object, message: str) -> None:
    path = tmp_path / "weights.pkl"
    make(path)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=message) as caught:
        read_foreign(path)
    assert str(path) in str(caught.value)


OTHERS = [
    (["b8.fromrgb.weight", "b4.fc.weight", "b4.out.weight"], "a discriminator"),
    (["convs.0.0.weight", "final_linear.0.weight"], "a discriminator"),
    (["time_embedding.linear_1.weight", "conv_in.weight"], "a diffusion model"),
    (["down_blocks.0.resnets.0.conv1.weight"], "a diffusion model"),
    (["model.diffusion_model.input_blocks.0.0.weight"], "a diffusion model"),
    (["shared.weight", "blocks.0.0.bn1.gain.weight"], "a BigGAN"),
    (["generator.gen_z.weight_orig"], "a BigGAN"),
    (["backbone.conv1.weight", "classifier.4.weight"], "a segmentation model"),
    (["decode_head.conv_seg.weight"], "a segmentation model"),
    (["segmentation_head.0.weight", "encoder.conv1.weight"], "a segmentation model"),
    (["conv1.weight", "layer1.0.conv1.weight", "fc.weight"], "an image classifier"),
    (["quant_conv.weight"], "an image autoencoder"),
]


class TestOtherNetworks:
    @pytest.mark.parametrize(("names", "kind"), OTHERS)
    def test_by_the_names_of_tensors(self, tmp_path: Path, names: list[str], kind: str) -> None:
        path = writers.write_torch_zip(tmp_path / "x.pt", {n: torch.ones(1) for n in names})
        with pytest.raises(CheckpointError, match=f"holds {kind}.*no generator"):
            read_foreign(path)

    def test_a_discriminator_alone(self, tmp_path: Path, tensors: dict[str, Tensor]) -> None:
        d = writers.nvidia_network("Discriminator", tensors, {})
        pipe = writers.nvidia_network("AugmentPipe", {"p": torch.ones(1)}, {})
        value = {"G_ema": None, "D": d, "augment_pipe": pipe}
        path = writers.write_pickle(tmp_path / "x.pkl", value)
        with pytest.raises(CheckpointError, match=r"a discriminator \('D'\) and an augmentation"):
            read_foreign(path)

    def test_generators_are_none_of_these(self, tmp_path: Path, tiny_generator: StyleGAN2) -> None:
        save_file(dict(tiny_generator.state_dict()), tmp_path / "x.safetensors")
        read_foreign(tmp_path / "x.safetensors")
        names = (
            "style.1.weight",
            "conv1.conv.weight",
            "convs.0.conv.blur.kernel",
            "to_rgbs.0.bias",
        )
        names += ("g_mapping.dense0.weight", "g_synthesis.blocks.4x4.epi1.top_epi.noise.weight")
        names += ("layers.0.weight", "layers.2.running_mean")  # the official interpreter
        for name in names:
            path = writers.write_torch_zip(tmp_path / "x.pt", {name: torch.ones(1)})
            assert isinstance(read_foreign(path), ForeignFile)

    def test_a_native_checkpoint_needs_no_import(
        self, tmp_path: Path, tiny_generator: StyleGAN2
    ) -> None:
        save_generator(tmp_path / "x.safetensors", tiny_generator, card=WeightCard(title="x"))
        with pytest.raises(CheckpointError, match="already a native generator checkpoint"):
            read_foreign(tmp_path / "x.safetensors")

    def test_a_file_without_tensors(self, tmp_path: Path) -> None:
        path = writers.write_pickle(tmp_path / "x.pkl", {"args": {"size": 8}, "losses": [1.0]})
        with pytest.raises(CheckpointError, match="holds no tensors"):
            read_foreign(path)
