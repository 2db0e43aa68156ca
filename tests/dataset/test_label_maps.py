"""Label maps: ours by an independent decoder, people's in every kind, and each refusal."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from datasetgan.dataset import encode_label_png, read_label_png, write_label_png
from datasetgan.errors import LabelError, StorageError
from datasetgan.taxonomy import IGNORE_INDEX, ClassTaxonomy, LabelClass
from tests.dataset.png_by_hand import chunk, decode, encode

TAXONOMY = ClassTaxonomy.from_names(["background", "red_cell", "cytoplasm", "nucleus", "platelet"])
IDS = [0, 1, 2, 3, 4, IGNORE_INDEX]
LABELS = np.array([[0, 1, 2], [3, 4, 255]], dtype=np.uint8)

label_maps = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.sampled_from(IDS)
)


def save(array: np.ndarray, path: Path) -> Path:
    Image.fromarray(array).save(path)
    return path


@given(label_maps)
@settings(deadline=None)
def test_encoded_map_is_an_indexed_png_with_the_taxonomys_palette(label_map):
    png = decode(encode_label_png(label_map, TAXONOMY))
    assert (png.depth, png.color_type) == (8, 3)
    np.testing.assert_array_equal(png.pixels[..., 0], label_map)
    palette = np.frombuffer(png.palette, np.uint8).reshape(256, 3)
    assert [tuple(row) for row in palette[:5].tolist()] == [c.color for c in TAXONOMY.classes]
    assert palette[255].tolist() == [255, 255, 255]


@given(label_maps)
@settings(deadline=None)
def test_encoding_depends_on_the_map_alone(label_map):
    first = encode_label_png(label_map, TAXONOMY)
    assert first == encode_label_png(np.asfortranarray(label_map.astype(np.int64)), TAXONOMY)


@given(
    label_maps.filter(lambda m: (m != IGNORE_INDEX).any()),
    st.sampled_from(["P", "L", "RGB", "RGBA"]),
)
@settings(deadline=None, max_examples=60)
def test_every_kind_of_png_reads_back(tmp_path_factory, label_map, mode):
    path = tmp_path_factory.mktemp("maps") / "map.png"
    if mode == "P":
        write_label_png(path, label_map, TAXONOMY)
    elif mode == "L":
        save(label_map, path)
    else:
        Image.fromarray(TAXONOMY.colorize(label_map)).convert(mode).save(path)
    read = read_label_png(path, TAXONOMY, size=label_map.shape)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, label_map)


def test_transparent_pixels_are_unpainted_whatever_their_colour(tmp_path):
    rgba = np.dstack([TAXONOMY.colorize(LABELS), np.full(LABELS.shape, 255, np.uint8)])
    rgba[0, 1] = (12, 34, 56, 0)
    expected = LABELS.copy()
    expected[0, 1] = IGNORE_INDEX
    np.testing.assert_array_equal(
        read_label_png(save(rgba, tmp_path / "m.png"), TAXONOMY), expected
    )


def test_the_transparent_colour_of_an_rgb_png_is_unpainted(tmp_path):
    red = TAXONOMY.classes[1].color
    data = encode(
        [bytes((0, 0, 0, *red))],
        width=2,
        depth=8,
        color_type=2,
        extra=chunk(b"tRNS", b"".join(v.to_bytes(2) for v in red)),
    )
    (tmp_path / "m.png").write_bytes(data)
    assert read_label_png(tmp_path / "m.png", TAXONOMY).tolist() == [[0, IGNORE_INDEX]]


def test_ids_of_a_foreign_palette_count(tmp_path):
    image = Image.fromarray(LABELS)
    image.putpalette(np.random.RandomState(0).randint(0, 200, 768).tolist())
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_label_png(tmp_path / "m.png", TAXONOMY), LABELS)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_small_palettes_are_stored_in_few_bits_and_still_read(tmp_path, depth):
    # One row of 0 1 0 1 packed by hand; the palette's unused end is black.
    packed = {1: 0b01010000, 2: 0b00010001, 4: 0x01}[depth]
    row = bytes([packed] if depth < 4 else [packed, packed])
    palette = chunk(b"PLTE", bytes([0, 0, 0, 9, 9, 9]))
    data = encode([row], width=4, depth=depth, color_type=3, extra=palette)
    (tmp_path / "m.png").write_bytes(data)
    assert read_label_png(tmp_path / "m.png", TAXONOMY).tolist() == [[0, 1, 0, 1]]


def refusal(path: Path, **kwargs) -> str:
    """Return the message of the refusal, which names the file."""
    with pytest.raises(LabelError) as caught:
        read_label_png(path, TAXONOMY, **kwargs)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_palette_sorted_anew_is_refused(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8))
    image.putpalette([0, 0, 0, *TAXONOMY.classes[3].color])
    image.save(tmp_path / "m.png")
    message = refusal(tmp_path / "m.png")
    assert "index 1 (red_cell)" in message
    assert "nucleus" in message
    assert "RGB" in message


def test_wrong_size_names_both_sizes(tmp_path):
    message = refusal(save(LABELS, tmp_path / "m.png"), size=(64, 32))
    assert "3x2" in message
    assert "32x64" in message


def test_unknown_id_names_place_and_valid_ids(tmp_path):
    labels = LABELS.copy()
    labels[1, 0] = 9
    message = refusal(save(labels, tmp_path / "m.png"))
    assert "class id 9" in message
    assert "row 1, column 0" in message
    assert "3 nucleus" in message


def test_unknown_colour_names_place_and_nearest_class(tmp_path):
    rgb = TAXONOMY.colorize(LABELS)
    red, green, blue = TAXONOMY.classes[3].color
    rgb[1, 2] = (red - 3, green + 2, blue)
    message = refusal(save(rgb, tmp_path / "m.png"))
    assert str((red - 3, green + 2, blue)) in message
    assert "row 1, column 2" in message
    assert "'nucleus'" in message


def test_half_transparent_pixel_is_refused(tmp_path):
    rgba = np.dstack([TAXONOMY.colorize(LABELS), np.full(LABELS.shape, 255, np.uint8)])
    rgba[1, 1, 3] = 128
    message = refusal(save(rgba, tmp_path / "m.png"))
    assert "row 1, column 1" in message


@pytest.mark.parametrize("kind", ["grey", "white", "transparent"])
def test_unpainted_mask_is_refused(tmp_path, kind):
    arrays = {
        "grey": np.full((2, 2), IGNORE_INDEX, np.uint8),
        "white": np.full((2, 2, 3), 255, np.uint8),
        "transparent": np.zeros((2, 2, 4), np.uint8),
    }
    assert "empty" in refusal(save(arrays[kind], tmp_path / "m.png"))


def test_wrong_depths_are_refused(tmp_path):
    assert "16-bit grey" in refusal(save(LABELS.astype(np.uint16), tmp_path / "a.png"))
    (tmp_path / "b.png").write_bytes(encode([bytes(12)], width=2, depth=16, color_type=2))
    assert "16-bit RGB" in refusal(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(encode([b"\x80"], width=2, depth=1, color_type=0))
    assert "1-bit grey" in refusal(tmp_path / "c.png")
    assert "alpha" in refusal(save(np.zeros((2, 2, 2), np.uint8), tmp_path / "d.png"))


def test_other_files_are_refused(tmp_path):
    assert "does not exist" in refusal(tmp_path / "none.png")
    Image.fromarray(LABELS).save(tmp_path / "jpeg.png", "JPEG")
    assert "no PNG" in refusal(tmp_path / "jpeg.png")
    (tmp_path / "folder.png").mkdir()
    refusal(tmp_path / "folder.png")
    (tmp_path / "empty.png").touch()
    refusal(tmp_path / "empty.png")


def test_forged_size_is_refused_before_memory_is_asked_for(tmp_path):
    (tmp_path / "m.png").write_bytes(encode([b"\0"], width=1 << 30, depth=8, color_type=0))
    assert "1073741824" in refusal(tmp_path / "m.png")
    (tmp_path / "n.png").write_bytes(
        encode([b"\0"], width=30_000, depth=8, color_type=0).replace(
            (1).to_bytes(4), (30_000).to_bytes(4), 1
        )
    )
    refusal(tmp_path / "n.png")


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_any_damage_is_one_label_error_or_does_no_harm(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damage") / "m.png"
    whole = bytearray(encode_label_png(np.tile(LABELS, (8, 8)), TAXONOMY))
    if data.draw(st.booleans()):
        del whole[data.draw(st.integers(0, len(whole) - 1)) :]
    else:
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(whole))
    message = None
    try:
        label_map = read_label_png(path, TAXONOMY, size=(16, 24))
    except LabelError as error:
        message = str(error)
    if message is None:  # the damage lies where it does no harm
        np.testing.assert_array_equal(label_map, np.tile(LABELS, (8, 8)))
    else:
        assert str(path) in message


def test_writing_refuses_what_could_not_be_read(tmp_path):
    for wrong in ([[0, 5]], [[-1, 0]], [[300, 0]]):
        with pytest.raises(LabelError, match="class id"):
            write_label_png(tmp_path / "m.png", np.array(wrong), TAXONOMY)
    with pytest.raises(LabelError, match="height, width"):
        write_label_png(tmp_path / "m.png", np.zeros((1, 2, 2), np.uint8), TAXONOMY)
    assert not list(tmp_path.iterdir())


def test_a_taxonomy_with_colours_of_its_own(tmp_path):
    own = ClassTaxonomy((LabelClass(0, "sky", (0, 0, 254)), LabelClass(1, "pit", (0, 0, 0))))
    image = save(own.colorize(np.array([[1, 0, 255]], np.uint8)), tmp_path / "m.png")
    assert read_label_png(image, own).tolist() == [[1, 0, IGNORE_INDEX]]


def test_full_disk_is_a_storage_error(tmp_path, monkeypatch):
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"m\.png.*full"):
        write_label_png(tmp_path / "m.png", LABELS, TAXONOMY)
    assert not list(tmp_path.iterdir())


def test_pillow_agrees_with_the_decoder_by_hand():
    # The decoder judges our files, so it is judged itself, with every filter at work.
    noise = np.random.RandomState(0).randint(0, 256, (9, 7, 3)).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(np.cumsum(noise, axis=0).astype(np.uint8)).save(buffer, "PNG")
    pixels = decode(buffer.getvalue()).pixels
    np.testing.assert_array_equal(pixels, np.cumsum(noise, axis=0).astype(np.uint8))
