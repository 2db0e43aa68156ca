"""NVIDIA's TensorFlow layouts against a direct evaluation from arrays as TensorFlow holds them."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from datasetgan.checkpoints.layouts import nvidia_tf_stylegan1, nvidia_tf_stylegan2
from datasetgan.checkpoints.layouts.base import LayoutSpec
from datasetgan.errors import CheckpointError
from datasetgan.generators import StyleGAN1, StyleGAN2
from datasetgan.runtime import Runtime

ONE, TWO = nvidia_tf_stylegan1.LAYOUT, nvidia_tf_stylegan2.LAYOUT
Z_DIM, W_DIM = 6, 5


class Writer:
    """Variables of a TensorFlow network, drawn in the shapes that TensorFlow gives them."""

    def __init__(self, seed: int) -> None:
        self._draw = np.random.RandomState(seed)
        self.variables: dict[str, Tensor] = {}

    def add(self, name: str, *shape: int, scale: float = 1.0) -> None:
        values = self._draw.standard_normal(shape) * scale
        self.variables[name] = torch.from_numpy(np.asarray(values, dtype=np.float32))

    def add_mapping(self, *, label_features: int = 0) -> None:
        self.add("dlatent_avg", W_DIM)
        self.add("mapping/Dense0/weight", Z_DIM + label_features, W_DIM, scale=100)
        self.add("mapping/Dense0/bias", W_DIM, scale=10)
        self.add("mapping/Dense1/weight", W_DIM, W_DIM, scale=100)
        self.add("mapping/Dense1/bias", W_DIM, scale=10)


def stylegan1_variables(*, labels: int = 0) -> dict[str, Tensor]:
    """A StyleGAN1 of 16 px: 8, 4 and 2 channels (fmap_base 16)."""
    tf = Writer(1)
    tf.add_mapping(label_features=Z_DIM if labels else 0)
    if labels:
        tf.add("mapping/LabelConcat/weight", labels, Z_DIM)
    tf.variables["synthesis/lod"] = torch.zeros([])
    before = 0
    for i, (size, channels) in enumerate({4: 8, 8: 4, 16: 2}.items()):
        block = f"synthesis/{size}x{size}"
        names = ("Const", "Conv") if size == 4 else ("Conv0_up", "Conv1")
        if size == 4:
            tf.add(f"{block}/Const/const", 1, channels, 4, 4)
        else:
            tf.add(f"{block}/Conv0_up/weight", 3, 3, before, channels)
        tf.add(f"{block}/{names[1]}/weight", 3, 3, channels, channels)
        for j, name in enumerate(names):
            tf.add(f"{block}/{name}/bias", channels)
            tf.add(f"{block}/{name}/Noise/weight", channels)
            tf.add(f"{block}/{name}/StyleMod/weight", W_DIM, 2 * channels)
            tf.add(f"{block}/{name}/StyleMod/bias", 2 * channels)
            tf.add(f"synthesis/noise{2 * i + j}", 1, 1, size, size)
        tf.add(f"synthesis/ToRGB_lod{2 - i}/weight", 1, 1, channels, 3)
        tf.add(f"synthesis/ToRGB_lod{2 - i}/bias", 3)
        before = channels
    return tf.variables


def stylegan2_variables(architecture: str = "skip", *, labels: int = 0) -> dict[str, Tensor]:
    """A StyleGAN2 of 16 px: 8, 4 and 2 channels (fmap_base 16)."""
    tf = Writer(2)
    tf.add_mapping(label_features=W_DIM if labels else 0)
    if labels:
        tf.add("mapping/LabelEmbed/weight", labels, W_DIM)
        tf.add("mapping/LabelEmbed/bias", W_DIM)
    before, number = 8, 0
    tf.add("synthesis/4x4/Const/const", 1, 8, 4, 4)
    for size, channels in {4: 8, 8: 4, 16: 2}.items():
        block = f"synthesis/{size}x{size}"
        for name in ("Conv",) if size == 4 else ("Conv0_up", "Conv1"):
            tf.add(f"{block}/{name}/weight", 3, 3, before, channels)
            tf.add(f"{block}/{name}/mod_weight", W_DIM, before)
            tf.add(f"{block}/{name}/mod_bias", before)
            tf.add(f"{block}/{name}/bias", channels)
            tf.add(f"{block}/{name}/noise_strength")
            tf.add(f"synthesis/noise{number}", 1, 1, size, size)
            if name == "Conv0_up" and architecture == "resnet":
                tf.add(f"{block}/Skip/weight", 1, 1, before, channels)
            before, number = channels, number + 1
        if architecture == "skip" or size == 16:
            tf.add(f"{block}/ToRGB/weight", 1, 1, channels, 3)
            tf.add(f"{block}/ToRGB/mod_weight", W_DIM, channels)
            tf.add(f"{block}/ToRGB/mod_bias", channels)
            tf.add(f"{block}/ToRGB/bias", 3)
    return tf.variables


# The networks evaluated step by step in float64, in TensorFlow's own order of axes:
# images [N, H, W, C], kernels [k, k, I, O].


def correlate(x: Tensor, kernel: Tensor) -> Tensor:
    """Sum over every offset of the kernel, zeros beyond the edge."""
    size, reach = x.shape[1], kernel.shape[0] // 2
    padded = F.pad(x, (0, 0, reach, reach, reach, reach))
    y = x.new_zeros(*x.shape[:3], kernel.shape[3])
    for dy in range(kernel.shape[0]):
        for dx in range(kernel.shape[1]):
            y = y + padded[:, dy : dy + size, dx : dx + x.shape[2]] @ kernel[dy, dx]
    return y


def filtered(x: Tensor, taps: list[float], before: int) -> Tensor:
    """Filter with taps x taps; output pixel i begins at input pixel i - before."""
    size = x.shape[1]
    after = len(taps) - 1 - before
    padded = F.pad(x, (0, 0, before, after, before, after))
    y = torch.zeros_like(x)
    for dy, a in enumerate(taps):
        for dx, b in enumerate(taps):
            y = y + padded[:, dy : dy + size, dx : dx + size] * (a * b)
    return y


def with_zeros(x: Tensor) -> Tensor:
    n, h, w, c = x.shape
    grid = x.new_zeros(n, 2 * h, 2 * w, c)
    grid[:, ::2, ::2] = x
    return grid


def he(kernel: Tensor, gain: float = 1.0) -> Tensor:
    return kernel * (gain / np.sqrt(np.prod(kernel.shape[:-1])))


def normalized(z: Tensor) -> Tensor:
    return z / z.square().mean(dim=1, keepdim=True).sqrt()


def literal_mapping(v: dict[str, Tensor], x: Tensor) -> Tensor:
    for i in range(2):
        x = x @ he(v[f"mapping/Dense{i}/weight"] * 0.01) + v[f"mapping/Dense{i}/bias"] * 0.01
        x = F.leaky_relu(x, 0.2) * np.sqrt(2)
    return x


def literal_mapping1(v: dict[str, Tensor], x: Tensor) -> Tensor:
    for i in range(2):
        x = x @ he(v[f"mapping/Dense{i}/weight"] * 0.01, np.sqrt(2))
        x = F.leaky_relu(x + v[f"mapping/Dense{i}/bias"] * 0.01, 0.2)
    return x


def literal_stylegan1(v: dict[str, Tensor], w: Tensor, *, fused: bool = False) -> Tensor:
    x, number = w, 0
    for size in (4, 8, 16):
        for name in ("Const", "Conv") if size == 4 else ("Conv0_up", "Conv1"):
            layer = f"synthesis/{size}x{size}/{name}"
            if name == "Const":
                x = v[f"{layer}/const"].permute(0, 2, 3, 1).expand(w.shape[0], -1, -1, -1)
            elif name == "Conv0_up" and not fused:
                x = x.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
                x = correlate(x, he(v[f"{layer}/weight"], np.sqrt(2)))
            elif name == "Conv0_up":
                # Every input pixel paints the kernel onto each of its four output pixels.
                x = x.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
                x = correlate(x, he(v[f"{layer}/weight"], np.sqrt(2)).flip(0, 1))
            else:
                x = correlate(x, he(v[f"{layer}/weight"], np.sqrt(2)))
            if name == "Conv0_up":
                x = filtered(x, [0.25, 0.5, 0.25], 1)
            noise = v[f"synthesis/noise{number}"][0, 0, :, :, None]
            x = F.leaky_relu(x + noise * v[f"{layer}/Noise/weight"] + v[f"{layer}/bias"], 0.2)
            x = x - x.mean(dim=(1, 2), keepdim=True)
            x = x / (x.square().mean(dim=(1, 2), keepdim=True) + 1e-8).sqrt()
            style = w @ he(v[f"{layer}/StyleMod/weight"]) + v[f"{layer}/StyleMod/bias"]
            style = style.reshape(w.shape[0], 2, 1, 1, -1)
            x = x * (style[:, 0] + 1) + style[:, 1]
            number += 1
    rgb = correlate(x, he(v["synthesis/ToRGB_lod0/weight"])) + v["synthesis/ToRGB_lod0/bias"]
    return rgb.permute(0, 3, 1, 2)


FIR = [1 / 8, 3 / 8, 3 / 8, 1 / 8]


def doubled(x: Tensor) -> Tensor:
    return filtered(with_zeros(x), [2 * t for t in FIR], 2)


def modulated(
    v: dict[str, Tensor], layer: str, x: Tensor, w: Tensor, *, demodulate: bool
) -> Tensor:
    kernel = he(v[f"{layer}/weight"])
    style = w @ he(v[f"{layer}/mod_weight"]) + v[f"{layer}/mod_bias"] + 1
    images = []
    for image, s in zip(x, style, strict=True):
        own = kernel * s[:, None]  # [kkIO]
        if demodulate:
            own = own / (own.square().sum(dim=(0, 1, 2)) + 1e-8).sqrt()
        one = image[None]
        if layer.endswith("Conv0_up"):
            # Zeros, a correlation whose result begins one pixel early, and the filter.
            n = 2 * one.shape[1]
            grid = F.pad(with_zeros(one), (0, 0, 2, 2, 2, 2))
            y = correlate(grid, own)[:, 1 : n + 2, 1 : n + 2]  # [1, 2H+1, 2W+1, O]
            y = F.pad(y, (0, 0, 1, 1, 1, 1))
            one = sum(
                y[:, dy : dy + n, dx : dx + n] * (4 * FIR[dy] * FIR[dx])
                for dy in range(4)
                for dx in range(4)
            )
        else:
            one = correlate(one, own)
        images.append(one)
    return torch.cat(images)


def literal_stylegan2(v: dict[str, Tensor], w: Tensor, architecture: str) -> Tensor:
    x = v["synthesis/4x4/Const/const"].permute(0, 2, 3, 1).expand(w.shape[0], -1, -1, -1)
    image = x.new_zeros(1)
    number = 0
    for size in (4, 8, 16):
        block, shortcut = f"synthesis/{size}x{size}", x
        for name in ("Conv",) if size == 4 else ("Conv0_up", "Conv1"):
            layer = f"{block}/{name}"
            x = modulated(v, layer, x, w, demodulate=True)
            noise = v[f"synthesis/noise{number}"][0, 0, :, :, None]
            x = x + noise * v[f"{layer}/noise_strength"] + v[f"{layer}/bias"]
            x = F.leaky_relu(x, 0.2) * np.sqrt(2)
            number += 1
        if architecture == "resnet" and size > 4:
            x = (x + doubled(correlate(shortcut, he(v[f"{block}/Skip/weight"])))) / np.sqrt(2)
        if size > 4 and architecture == "skip":
            image = doubled(image)
        if f"{block}/ToRGB/weight" in v:
            rgb = modulated(v, f"{block}/ToRGB", x, w, demodulate=False)
            image = image + rgb + v[f"{block}/ToRGB/bias"]
    return image.permute(0, 3, 1, 2)


def exact(variables: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.double() for name, tensor in variables.items()}


def build(layout: LayoutSpec, variables: dict[str, Tensor], **config: Any) -> Any:
    return layout.build(variables, config).place(Runtime())


def relative(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).abs().max() / expected.abs().max()).item()


Z = torch.from_numpy(np.random.RandomState(0).standard_normal((3, Z_DIM)))
LABELS = torch.eye(4, dtype=torch.float64)[[2, 0, 3]]


@pytest.mark.parametrize("fused_scale", ["auto", True])
def test_stylegan1_is_the_network_of_these_arrays(fused_scale: Any) -> None:
    variables = stylegan1_variables()
    generator = build(ONE, variables, fused_scale=fused_scale)
    assert isinstance(generator, StyleGAN1)
    w = literal_mapping1(exact(variables), normalized(Z))
    ws = generator.map(Z.float())
    assert relative(ws[:, 0], w) < 1e-4
    image = literal_stylegan1(exact(variables), w, fused=fused_scale is True)
    assert relative(generator.synthesize(ws).image, image) < 1e-4
    mean = generator.map(Z.float(), truncation_psi=0.0)[:, :6]
    assert torch.equal(mean, variables["dlatent_avg"].expand_as(mean))


def test_stylegan1_with_labels() -> None:
    variables = stylegan1_variables(labels=4)
    generator = build(ONE, variables)
    v = exact(variables)
    joined = torch.cat([Z, LABELS @ v["mapping/LabelConcat/weight"]], dim=1)
    ws = generator.map(Z.float(), LABELS.float())
    assert relative(ws[:, 5], literal_mapping1(v, normalized(joined))) < 1e-4


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_stylegan2_is_the_network_of_these_arrays(architecture: str) -> None:
    variables = stylegan2_variables(architecture)
    generator = build(TWO, variables)
    assert isinstance(generator, StyleGAN2)
    assert generator.config.architecture == architecture
    w = literal_mapping(exact(variables), normalized(Z))
    ws = generator.map(Z.float())
    assert relative(ws[:, 0], w) < 1e-4
    image = literal_stylegan2(exact(variables), w, architecture)
    assert relative(generator.synthesize(ws).image, image) < 1e-4
    assert torch.equal(generator.mapping.w_avg, variables["dlatent_avg"])


def test_stylegan2_ada_with_labels() -> None:
    variables = stylegan2_variables(labels=4)
    generator = build(TWO, variables)
    v = exact(variables)
    embedded = LABELS @ he(v["mapping/LabelEmbed/weight"]) + v["mapping/LabelEmbed/bias"]
    w = literal_mapping(v, torch.cat([normalized(Z), normalized(embedded)], dim=1))
    assert relative(generator.map(Z.float(), LABELS.float())[:, 3], w) < 1e-4


def test_early_stylegan2_names_its_image_layers_by_level_of_detail() -> None:
    variables = stylegan2_variables("orig")
    renamed = {
        name.replace("synthesis/16x16/ToRGB", "synthesis/ToRGB_lod0"): tensor
        for name, tensor in variables.items()
    }
    renamed["synthesis/ToRGB_lod2/bias"] = torch.zeros(3)
    renamed["synthesis/lod"] = torch.zeros([])
    ws = torch.ones(1, 6, W_DIM)
    expected = build(TWO, variables).synthesize(ws).image
    assert torch.equal(build(TWO, renamed).synthesize(ws).image, expected)
    # These configurations alone state the function of their synthesis network.
    stated = {**STATIC_KWARGS, "synthesis_func": "G_synthesis_stylegan_revised"}
    assert torch.equal(TWO.build(renamed, stated).synthesize(ws).image, expected)
    with pytest.raises(CheckpointError, match="synthesis_func is 'G_synthesis_stylegan'"):
        TWO.build(renamed, stated | {"synthesis_func": "G_synthesis_stylegan"})


@pytest.mark.parametrize(
    ("layout", "variables"), [(ONE, stylegan1_variables), (TWO, stylegan2_variables)]
)
def test_the_whole_networks_level_of_detail_decides(layout: LayoutSpec, variables: Any) -> None:
    """Networks that grew hold `lod` twice: of the whole, and as synthesis last took it over."""
    plain = {name: t for name, t in variables().items() if name != "synthesis/lod"}
    grown = plain | {"lod": torch.zeros([]), "synthesis/lod": torch.tensor(1.0)}
    ws = torch.ones(1, 6, W_DIM)
    expected = build(layout, plain).synthesize(ws).image
    assert torch.equal(build(layout, grown).synthesize(ws).image, expected)
    with pytest.raises(CheckpointError, match=r"progressive growing \(lod 0\.5\)"):
        layout.build(grown | {"lod": torch.tensor(0.5)}, {})


@pytest.mark.parametrize(
    ("layout", "variables"), [(ONE, stylegan1_variables), (TWO, stylegan2_variables)]
)
def test_networks_by_their_own_names_and_outputs(layout: LayoutSpec, variables: Any) -> None:
    plain = variables()
    long = {f"{k.replace('mapping/', 'G_mapping/', 1)}:0": t.double() for k, t in plain.items()}
    long = {k.replace("synthesis/", "Gs/G_synthesis/", 1): t for k, t in long.items()}
    assert layout.recognizes(long)
    assert layout.infer_config(long) == layout.infer_config(plain)
    ws = torch.ones(1, 6, W_DIM)
    expected = build(layout, plain).synthesize(ws).image
    assert torch.equal(build(layout, long).synthesize(ws).image, expected)
    with pytest.raises(CheckpointError, match="twice"):
        layout.build(plain | {"D/mapping/Dense0/weight": torch.zeros(6, 5)}, {})


def test_each_layout_knows_its_own() -> None:
    one, two = stylegan1_variables(), stylegan2_variables()
    assert ONE.recognizes(one)
    assert TWO.recognizes(two)
    assert not ONE.recognizes(two)
    assert not TWO.recognizes(one)


STATIC_KWARGS = {
    "num_channels": 3,
    "resolution": 16,
    "label_size": 0,
    "fmap_base": 16,
    "truncation_psi": 0.5,
    "randomize_noise": True,
    "mapping_layers": 2,
}


@pytest.mark.parametrize(
    ("layout", "variables"), [(ONE, stylegan1_variables), (TWO, stylegan2_variables)]
)
class TestSettings:
    def test_nvidias_words_as_they_stand(self, layout: LayoutSpec, variables: Any) -> None:
        tensors = variables()
        stated, inferred = layout.build(tensors, STATIC_KWARGS), build(layout, tensors)
        assert inferred.config.resolution == 16
        ws = torch.ones(1, 6, W_DIM)
        assert torch.equal(stated.synthesize(ws).image, inferred.synthesize(ws).image)
        again = layout.build(tensors, layout.infer_config(tensors))
        assert again.config == inferred.config  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ({"resolution": 32}, "said to be 32, the tensors say 16"),
            ({"fmap_base": 8}, "misshapen|the tensors have 8"),
            ({"fmap_base": 1.5}, "whole number"),
            ({"fmap_decay": 0.5}, "fmap_decay is 0.5, which is not supported"),
            ({"mapping_nonlinearity": "relu"}, "mapping_nonlinearity"),
            ({"use_noise": False}, "use_noise"),
            ({"mapping_fmaps": 64}, "mapping_fmaps is said to be 64"),
            ({"projection": 1}, "not supported: projection"),
        ],
    )
    def test_other_networks_are_refused(
        self, layout: LayoutSpec, variables: Any, config: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(CheckpointError, match=message):
            layout.build(variables(), config)

    @pytest.mark.parametrize(
        ("name", "tensor", "message"),
        [
            ("dlatent_avg", None, "missing: dlatent_avg"),
            ("dlatent_avg", torch.zeros(4), r"w_avg is \[.*4\], expected"),
            ("synthesis/noise3", None, "missing: synthesis/noise3"),
            ("synthesis/noise3", torch.zeros(1, 1, 4, 4), r"noise_const is \[4, 4\]"),
            ("synthesis/8x8/Conv0_up/weight", torch.zeros(3), r"conv0\.weight is \[3\]"),
            ("synthesis/8x8/Conv1/weight", torch.zeros(3, 3, 4, 9), r"is \[9, 4, 3, 3\]"),
            ("synthesis/8x8/Conv2/bias", torch.zeros(3), r"unexpected: synthesis/8x8/Conv2/bias"),
            ("synthesis/32x32/Conv1/bias", torch.zeros(1), "missing"),
            ("synthesis/64x64/Conv1/bias", torch.zeros(1), "of 4, 8, 16, 64 px"),
            ("synthesis/4x4/Conv/bias", torch.zeros(0), "none empty"),
            ("synthesis/lod", torch.tensor(2.5), r"progressive growing \(lod 2\.5\)"),
        ],
    )
    def test_what_does_not_fit_is_named(
        self, layout: LayoutSpec, variables: Any, name: str, tensor: Tensor | None, message: str
    ) -> None:
        tensors = variables()
        tensors.pop(name, None)
        if tensor is not None:
            tensors[name] = tensor
        with pytest.raises(CheckpointError, match=message):
            layout.build(tensors, {})

    def test_a_discriminator_is_no_generator(self, layout: LayoutSpec, variables: Any) -> None:
        tensors = {"16x16/FromRGB/weight": torch.zeros(1, 1, 3, 2)}
        with pytest.raises(CheckpointError, match="is no generator"):
            layout.build(tensors, {})


def test_labels_of_the_first_stylegan2_are_refused() -> None:
    variables = stylegan2_variables() | {"mapping/LabelConcat/weight": torch.zeros(4, Z_DIM)}
    with pytest.raises(CheckpointError, match="LabelConcat"):
        TWO.build(variables, {})
