"""The fused kernel against the plain path: interpreted without a GPU, compiled without one."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.interpreter.ensemble.folded import FoldedHead, FoldedLayer
from datasetgan.interpreter.labelling import Area, LabelMaps
from datasetgan.interpreter.labelling.engines import fastest_engine
from datasetgan.interpreter.labelling.gpu import kernel_fits, label_on_gpu, triton_available
from datasetgan.interpreter.labelling.tap_tables import TAP_BLOCK, TILE_SIDE, plan_area
from datasetgan.interpreter.uncertainty import combine_members

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
CPU = torch.device("cpu")
CHANNELS = 4

# Triton's interpreter keeps bfloat16 as its bits in uint16 and multiplies those bits;
# here they are widened to the float32 that they mean.
_CHILD = """
import json, sys
from datasetgan.interpreter.labelling import Area, LabelMaps, gpu
assert "triton" not in sys.modules, "Triton must be imported late"
import numpy as np
import torch
import triton.language as tl
from safetensors.torch import load_file, save_file
from triton.runtime import interpreter
from datasetgan.errors import UsageError
from datasetgan.interpreter.ensemble.folded import FoldedHead, FoldedLayer

def value(x):
    if x.data.dtype != np.uint16:
        return x.data
    return (x.data.astype(np.uint32) << 16).view(np.float32)

def create_dot(self, a, b, d, input_precision, max_num_imprecise_acc):
    product = np.matmul(value(a), value(b), dtype=np.float32)
    return interpreter.TensorHandle(product + d.data, d.dtype.scalar)

interpreter.InterpreterBuilder.create_dot = create_dot
folder, cases = sys.argv[1], json.loads(sys.argv[2])
for case in cases:
    t = load_file(f"{folder}/{case['name']}.safetensors")
    layers = [FoldedLayer(t[f"w{i}"], t[f"b{i}"]) for i in range(2) if f"w{i}" in t]
    head = FoldedHead(case["members"], t["first_weight"], t["first_bias"], tuple(layers))
    levels = [t[f"level{i}"] for i in range(case["levels"])]
    gpu._BAND_BYTES = case["band_bytes"]
    area = Area(tuple(case["size"]), *case["area"])
    classes = head.num_outputs if case["probabilities"] else None
    # One case is the second picture of a batch.
    images = [[level.flip(1) for level in levels], levels][not case["batch"]:]
    out = LabelMaps.empty(len(images), area, num_classes=classes, device=torch.device("cpu"))
    result = {}
    try:
        gpu.label_on_gpu(images, head, area, out=out, precision=case["precision"])
        result = {"labels": out.label_map[-1].clone(), "divergence": out.uncertainty[-1].clone()}
        if out.probabilities is not None:
            result["mean"] = out.probabilities[-1].clone()
    except UsageError as error:
        with open(f"{folder}/{case['name']}.error", "w") as file:
            file.write(str(error))
    save_file(result, f"{folder}/{case['name']}.out")
"""


def make_levels(grids: tuple[tuple[int, int], ...], seed: int = 0) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(CHANNELS, *grid, generator=random) for grid in grids]


def make_head(
    num_members: int, channels: int, *, widths: tuple[int, ...], classes: int
) -> FoldedHead:
    """A head of one layer if there are no widths, of three if there are two."""
    random = torch.Generator().manual_seed(3)
    sizes = (*widths, classes)
    first = num_members * sizes[0]
    layers = tuple(
        FoldedLayer(
            2.5 * torch.randn(num_members, o, i, generator=random) / i**0.5,
            torch.randn(num_members, o, generator=random),
        )
        for i, o in pairwise(sizes)
    )
    weight = torch.randn(first, channels, generator=random)
    return FoldedHead(num_members, weight, torch.randn(first, generator=random), layers)


# name: grids of the levels, size, members, hidden widths, classes, precision, bytes of a band
CASES = {
    "several-levels": (((4, 4), (8, 8), (16, 16), (16, 16)), (16, 16), 3, (24, 20), 5, "float32"),
    "mixed-order": (((8, 8), (4, 4), (8, 8)), (8, 8), 2, (16, 16), 3, "float32"),
    "no-full-level": (((4, 5), (7, 3)), (19, 11), 3, (24, 20), 5, "float32"),
    "full-level-only": (((13, 9),), (13, 9), 3, (24, 20), 5, "float32"),
    "finer-than-the-labels": (((16, 16), (4, 4)), (6, 7), 2, (16, 16), 3, "float32"),
    "linear": (((4, 4), (8, 8)), (17, 9), 3, (), 7, "float32"),
    "many-classes": (((8, 8),), (8, 8), 2, (70, 33), 34, "float32"),
    "one-member": (((4, 4), (8, 8)), (8, 8), 1, (24, 20), 5, "float32"),
    "one-pixel": (((4, 4), (1, 1)), (1, 1), 2, (16, 16), 3, "float32"),
    "float16": (((4, 4), (8, 8), (16, 16)), (16, 16), 3, (24, 20), 5, "float16"),
    "bfloat16": (((4, 4), (8, 8), (16, 16)), (16, 16), 3, (24, 20), 5, "bfloat16"),
}
# Areas of some of the cases: top, left, height, width.
PARTS = {
    "several-levels": (3, 5, 10, 9),
    "no-full-level": (9, 2, 10, 9),
    "full-level-only": (0, 7, 13, 1),
    "linear": (16, 0, 1, 9),
}
TOLERANCE = {"float32": 2e-6, "float16": 5e-3, "bfloat16": 4e-2}


def inputs(name: str) -> tuple[list[Tensor], FoldedHead, tuple[int, int]]:
    grids, size, members, widths, classes, _ = CASES[name]
    head = make_head(members, CHANNELS * len(grids), widths=widths, classes=classes)
    return make_levels(grids), head, size


def plain(
    levels: list[Tensor], head: FoldedHead, size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Labels, divergence, mean probability and logits out of the whole upsampled stack."""
    stack = torch.cat(
        [F.interpolate(t[None].double(), size=size, mode="bilinear")[0] for t in levels]
    )
    hidden = torch.einsum("hc,cyx->yxh", head.first_weight.double(), stack) + head.first_bias
    logits = head.outputs(hidden.float()).flatten(1, 2)  # [M, P, K]
    answer = combine_members(logits)
    mean = answer.mean_probability.T.view(-1, *size)
    return answer.labels.view(size), answer.divergence.view(size), mean, logits


def write_case(folder: Path, name: str, levels: list[Tensor], head: FoldedHead) -> None:
    tensors = {f"level{i}": level for i, level in enumerate(levels)}
    tensors |= {"first_weight": head.first_weight, "first_bias": head.first_bias}
    for i, layer in enumerate(head.layers):
        tensors |= {f"w{i}": layer.weight, f"b{i}": layer.bias}
    save_file(tensors, folder / f"{name}.safetensors")


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process with Triton's interpreter makes of all cases."""
    folder = tmp_path_factory.mktemp("triton")
    cases = []

    def add(name: str, levels: list[Tensor], head: FoldedHead, **changed: object) -> None:
        write_case(folder, name, levels, head)
        case = {"name": name, "levels": len(levels), "members": head.num_members}
        case |= {"precision": "float32", "probabilities": True, "band_bytes": 2**28}
        case |= {"area": (0, 0, *changed["size"]), "batch": False} | changed  # type: ignore[misc]
        cases.append(case)

    for name, case in CASES.items():
        levels, head, size = inputs(name)
        add(name, levels, head, size=size, precision=case[-1])
    levels, head, size = inputs("several-levels")
    add("bands", levels, head, size=size, band_bytes=1, probabilities=False)
    for name in PARTS:
        levels, head, size = inputs(name)
        case = {"size": size, "area": PARTS[name], "band_bytes": 1}
        add(f"part-of-{name}", levels, head, batch=name == "linear", **case)
    levels, head, size = inputs("several-levels")
    add("ties", *tie_inputs(), size=(3, 3))
    huge = [levels[0] * 1e6, *levels[1:]]
    add("overflow", huge, head, size=size, precision="float16")
    add("overflow-float32", huge, head, size=size)
    add("not-a-number", [levels[0] * torch.nan, *levels[1:]], head, size=size)
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    command = [sys.executable, "-W", "ignore", "-c", _CHILD, str(folder), json.dumps(cases)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def tie_inputs() -> tuple[list[Tensor], FoldedHead]:
    """Two votes for class 2, two for class 1, one for class 0, at every pixel."""
    bias = 10 * F.one_hot(torch.tensor([2, 1, 2, 1, 0]), 3).float().flatten()
    return make_levels(((3, 3),)), FoldedHead(5, torch.zeros(15, CHANNELS), bias, ())


def assert_plain(
    name: str, result_labels: Tensor, result_divergence: Tensor, result_mean: Tensor, slack: float
) -> None:
    levels, head, size = inputs(name)
    labels, divergence, mean, logits = plain(levels, head, size)
    tolerance = slack * TOLERANCE[CASES[name][-1]]
    assert result_labels.dtype == torch.int64
    assert (result_mean - mean).abs().max() < tolerance
    assert (result_divergence - divergence).abs().max() < tolerance
    top = logits.softmax(dim=-1).topk(2, dim=-1).values  # [M, P, 2]
    clear = ((top[..., 0] - top[..., 1]) > 2 * tolerance).all(dim=0).view(size)
    assert torch.equal(result_labels[clear], labels[clear])
    assert clear.float().mean() > 0.6
    if size != (1, 1):
        assert len(labels.unique()) > 1
        assert divergence.max() > 0.1 or head.num_members == 1


@needs_triton
@pytest.mark.parametrize("name", CASES)
def test_kernel_equals_the_plain_path(interpreted: Path, name: str) -> None:
    result = load_file(interpreted / f"{name}.out")
    assert_plain(name, result["labels"], result["divergence"], result["mean"], 1.0)


@needs_triton
@pytest.mark.parametrize("name", PARTS)
def test_an_area_is_that_part_of_the_picture(interpreted: Path, name: str) -> None:
    area = Area(inputs(name)[2], *PARTS[name])
    whole = load_file(interpreted / f"{name}.out")
    part = load_file(interpreted / f"part-of-{name}.out")
    for key, tensor in whole.items():
        expected = tensor[..., area.rows, area.columns]
        assert part[key].shape == expected.shape
        assert (part[key] - expected).abs().max() < 1e-6, key


@needs_triton
def test_bands_change_nothing(interpreted: Path) -> None:
    whole = load_file(interpreted / "several-levels.out")
    bands = load_file(interpreted / "bands.out")
    assert sorted(bands) == ["divergence", "labels"]
    assert torch.equal(bands["labels"], whole["labels"])
    assert (bands["divergence"] - whole["divergence"]).abs().max() < 1e-6


@needs_triton
def test_ties_go_to_the_smallest_id(interpreted: Path) -> None:
    assert load_file(interpreted / "ties.out")["labels"].unique().tolist() == [1]


@needs_triton
def test_beyond_the_range(interpreted: Path) -> None:
    error = (interpreted / "overflow.error").read_text()
    assert "labelling in float16 met numbers that are not finite" in error
    assert not (interpreted / "overflow-float32.error").exists()
    assert (interpreted / "not-a-number.error").exists()


SIDES = st.integers(1, 20)


@st.composite
def areas(draw: st.DrawFn) -> Area:
    size = draw(st.tuples(SIDES, SIDES))
    top, left = draw(st.integers(0, size[0] - 1)), draw(st.integers(0, size[1] - 1))
    height, width = draw(st.integers(1, size[0] - top)), draw(st.integers(1, size[1] - left))
    return Area(size, top, left, height, width)


@given(st.lists(st.tuples(SIDES, SIDES), max_size=3, unique=True), areas(), SIDES)
@settings(deadline=None, max_examples=60)
def test_tables_interpolate_as_pytorch_does(
    grids: list[tuple[int, int]], area: Area, rows: int
) -> None:
    size = area.size
    grids = [*(grid for grid in grids if grid != size), size]
    plan = plan_area(tuple(grids), area, rows=rows, device=CPU)
    random = torch.Generator().manual_seed(1)
    levels = [torch.randn(1, *grid, generator=random) for grid in grids]
    expected = sum(F.interpolate(t[None], size=size, mode="bilinear")[0, 0] for t in levels)
    result = torch.full((area.height, area.width), torch.nan)
    assert plan.has_full
    assert plan.columns.index.shape[1] % TAP_BLOCK == 0
    for band in plan.bands:
        windows = zip(levels, band.windows, strict=True)
        cells = torch.cat([level[0, y, x].flatten() for level, (y, x) in windows])
        assert len(cells) <= plan.max_cells
        height = band.rows.stop - band.rows.start
        for y in range(height):
            for x in range(area.width):
                index = band.axis.index[y // TILE_SIDE] + plan.columns.index[x // TILE_SIDE]
                mix = band.axis.mix[y] * plan.columns.mix[x]
                own = cells[band.full_base + y * area.width + x]
                assert result[band.rows.start + y, x].isnan()  # no pixel twice
                result[band.rows.start + y, x] = (mix * cells[index.long()]).sum() + own
    expected = torch.as_tensor(expected)[area.rows, area.columns]
    assert torch.allclose(result, expected, atol=1e-5)


def test_a_half_size_level_costs_few_taps() -> None:
    grids = tuple((2**i, 2**i) for i in range(2, 11))
    plan = plan_area(grids, Area.whole((1024, 1024)), rows=64, device=CPU)
    # The docstring of the kernel: about 90 of nine levels, padded to whole blocks.
    assert plan.columns.index.shape[1] == 96
    assert len(plan.bands) == 16


def test_an_area_costs_its_own_pixels_alone() -> None:
    grids = tuple((2**i, 2**i) for i in range(2, 11))
    area = Area((1024, 1024), top=512, left=256, height=64, width=32)
    plan = plan_area(grids, area, rows=64, device=CPU)
    assert len(plan.bands) == 1
    # Its own pixels of the finest level, a quarter of the next and so on, and their edges.
    assert area.height * area.width < plan.max_cells < 1.6 * area.height * area.width
    assert len(plan.bands[0].axis.index) * len(plan.columns.index) == (64 // 8) * (32 // 8)


@needs_triton
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_compiles_for_a_gpu(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from datasetgan.interpreter.labelling.triton_kernels import (
        kernel_constants,
        label_tiles,
        launch_options,
    )

    dtype = {"fp16": torch.float16, "fp32": torch.float32}[precision]
    head = make_head(2, CHANNELS, widths=(128, 32), classes=20)
    head = FoldedHead(2, head.first_weight.to(dtype), head.first_bias, head.layers)
    constants = kernel_constants(head) | {"HAS_FULL": True, "WRITE_MEAN": True}
    types = dict.fromkeys(label_tiles.arg_names, "*fp32")
    types |= dict.fromkeys(["projected", "second_weight", "third_weight"], f"*{precision}")
    types |= {"row_index": "*i32", "column_index": "*i32", "labels": "*i64"}
    integers = ["height", "width", "full_base", "num_members", "taps", "plane"]
    types |= dict.fromkeys(integers, "i32")
    types |= dict.fromkeys(constants, "constexpr")
    source = ASTSource(label_tiles, types, constants)
    target = GPUTarget("cuda", 80, 32)
    compiled = compile(source, target=target, options=launch_options(dtype))
    assert compiled.asm["cubin"]
    assert "mma.sync" in compiled.asm["ptx"]  # the tensor cores
    # The least shared memory of a program among the GPUs that `triton_available` takes.
    assert compiled.metadata.shared <= 99 * 1024


@pytest.mark.skipif(not triton_available("cuda"), reason="no GPU that the kernel runs on")
@pytest.mark.parametrize("name", CASES)
def test_on_a_gpu(name: str) -> None:
    levels, head, size = inputs(name)
    layers = tuple(FoldedLayer(own.weight.cuda(), own.bias.cuda()) for own in head.layers)
    there = FoldedHead(head.num_members, head.first_weight.cuda(), head.first_bias.cuda(), layers)
    area = Area.whole(size)
    device = torch.device("cuda")
    out = LabelMaps.empty(1, area, num_classes=head.num_outputs, device=device)
    precision = CASES[name][-1]
    label_on_gpu([[level.cuda() for level in levels]], there, area, out=out, precision=precision)  # type: ignore[arg-type]
    assert out.probabilities is not None
    maps = (out.label_map[0], out.uncertainty[0], out.probabilities[0])
    assert_plain(name, *(tensor.cpu() for tensor in maps), slack=5.0)


@pytest.mark.skipif(not triton_available("cuda"), reason="no GPU that the kernel runs on")
def test_the_kernel_proves_itself_on_a_gpu() -> None:
    channels = [16] * 6
    head = make_head(10, sum(channels), widths=(128, 32), classes=20)
    layers = tuple(FoldedLayer(own.weight.cuda(), own.bias.cuda()) for own in head.layers)
    there = FoldedHead(head.num_members, head.first_weight.cuda(), head.first_bias.cuda(), layers)
    choice = fastest_engine(there, channels)
    print(choice.reason)
    assert choice.engine == "triton" or "no faster" in choice.reason


def test_bad_choices() -> None:
    levels, head, size = inputs("linear")
    area = Area.whole(size)
    out = LabelMaps.empty(1, area, num_classes=None, device=CPU)
    with pytest.raises(UsageError, match="unknown precision 'float8'"):
        label_on_gpu([levels], head, area, out=out, precision="float8")  # type: ignore[arg-type]
    contextual = FoldedLayer(torch.zeros(2, 4, 4, 3, 3), torch.zeros(2, 4))
    behind = FoldedLayer(torch.zeros(2, 3, 4), torch.zeros(2, 3))
    conv = FoldedHead(2, torch.zeros(8, 12), torch.zeros(8), (contextual, behind))
    assert kernel_fits(head)
    assert not kernel_fits(conv)
    with pytest.raises(UsageError, match="got 3 layers, a halo of 1"):
        label_on_gpu([levels], conv, area, out=out, precision="float32")


def test_no_kernel_on_a_cpu() -> None:
    assert not triton_available("cpu")
