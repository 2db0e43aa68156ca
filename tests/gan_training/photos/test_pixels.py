"""Photographs of every kind, decoded and held against NumPy."""

from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from datasetgan.choices import Crop
from datasetgan.errors import DatasetError
from datasetgan.gan_training.photos.pixels import decode_photo


def noise(*shape: int, seed: int = 0, high: int = 256) -> np.ndarray:
    dtype = np.uint8 if high <= 256 else np.uint16
    return np.random.RandomState(seed).randint(0, high, shape).astype(dtype)


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decode(data: bytes, resolution: int = 8, crop: Crop = "center") -> np.ndarray:
    return decode_photo(data, resolution=resolution, crop=crop)


def test_a_picture_of_the_right_size_is_left_as_it_is() -> None:
    pixels = noise(8, 8, 3)
    decoded = decode(encode(Image.fromarray(pixels)))
    np.testing.assert_array_equal(decoded, pixels)
    assert decoded.dtype == np.uint8


@pytest.mark.parametrize("size", [(8, 13), (13, 8), (8, 9)])
def test_the_central_square_is_taken(size: tuple[int, int]) -> None:
    pixels = noise(*size, 3)
    top, left = (size[0] - 8) // 2, (size[1] - 8) // 2
    expected = pixels[top : top + 8, left : left + 8]
    np.testing.assert_array_equal(decode(encode(Image.fromarray(pixels))), expected)


@pytest.mark.parametrize(("size", "crop"), [((24, 24), "center"), ((16, 40), "resize")])
def test_integer_factors_take_the_mean_of_blocks(size: tuple[int, int], crop: Crop) -> None:
    pixels = noise(*size, 3)
    blocks = pixels.reshape(8, size[0] // 8, 8, size[1] // 8, 3).mean(axis=(1, 3))
    decoded = decode(encode(Image.fromarray(pixels)), crop=crop)
    assert np.abs(decoded - blocks).max() < 0.6  # Pillow divides in fixed point


def lanczos_weights(before: int, after: int) -> np.ndarray:
    scale = before / after
    centers = (np.arange(after) + 0.5) * scale
    x = (np.arange(before)[None, :] + 0.5 - centers[:, None]) / scale
    weights = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("size", "crop"), [((21, 21), "center"), ((19, 30), "resize")])
def test_other_factors_take_a_lanczos_filter(size: tuple[int, int], crop: Crop) -> None:
    pixels = noise(*size, 3)
    rows, columns = lanczos_weights(size[0], 8), lanczos_weights(size[1], 8)
    expected = np.einsum("yi,xj,ijc->yxc", rows, columns, pixels.astype(float)).clip(0, 255)
    decoded = decode(encode(Image.fromarray(pixels)), crop=crop)
    assert np.abs(decoded - expected).max() < 2  # Pillow rounds between its two passes


UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", [*UPRIGHT, 0, 9])
def test_pictures_stand_upright(orientation: int, kind: str) -> None:
    pixels = noise(8, 12, 3)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    decoded = decode(encode(Image.fromarray(pixels), kind, exif=exif))
    upright = UPRIGHT.get(orientation, UPRIGHT[1])(pixels)
    top, left = (upright.shape[0] - 8) // 2, (upright.shape[1] - 8) // 2
    np.testing.assert_array_equal(decoded, upright[top : top + 8, left : left + 8])


def test_broken_exif_is_passed_over() -> None:
    pixels = noise(8, 8, 3)
    data = encode(Image.fromarray(pixels), exif=b"Exif\0\0MM no directory at all")
    np.testing.assert_array_equal(decode(data), pixels)


def test_transparency_lies_over_white() -> None:
    pixels = noise(8, 8, 4)
    pixels[:2, :, 3], pixels[2:4, :, 3] = 0, 255
    alpha = pixels[..., 3:] / 255
    for mode, colors in (("RGBA", pixels), ("LA", pixels[..., [0, 3]])):
        flat = np.broadcast_to(colors[..., :-1], (8, 8, 3))
        decoded = decode(encode(Image.fromarray(colors, mode)))
        expected = flat * alpha + 255 * (1 - alpha)
        assert np.abs(decoded - expected).max() <= 1
        assert (decoded[:2] == 255).all()
        np.testing.assert_array_equal(decoded[2:4], flat[2:4])


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_one_transparent_colour_becomes_white(mode: str) -> None:
    image = Image.new("RGB", (8, 8), (10, 10, 10))
    image.paste((200, 100, 50), (0, 0, 8, 4))
    converted = image.convert(mode, palette=Image.Palette.ADAPTIVE) if mode == "P" else image
    converted = converted.convert(mode)
    key = converted.getpixel((0, 7))
    decoded = decode(encode(converted, transparency=key))
    assert (decoded[4:] == 255).all()
    assert (decoded[:4] == np.asarray(converted.convert("RGB"))[:4]).all()
    assert (decoded[:4] < 255).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    grey = noise(8, 8, high=65536)
    grey[0, :3] = 0, 65535, 128
    decoded = decode(encode(Image.fromarray(grey), kind))
    expected = np.rint(grey.astype(float) * 255 / 65535)
    for channel in range(3):
        np.testing.assert_array_equal(decoded[..., channel], expected)


def test_16_bit_grey_of_the_other_byte_order_and_of_netpbm() -> None:
    grey = noise(8, 8, high=65536)
    expected = np.rint(grey.astype(float) * 255 / 65535)
    netpbm = b"P5 8 8 65535\n" + grey.astype(">u2").tobytes()
    np.testing.assert_array_equal(decode(netpbm)[..., 0], expected)
    image = Image.frombytes("I;16B", (8, 8), grey.astype(">u2").tobytes())
    np.testing.assert_array_equal(decode(encode(image, "TIFF"))[..., 0], expected)


def test_pixels_of_no_one_brightness_are_refused() -> None:
    with pytest.raises(DatasetError, match="floating point have no one brightness"):
        decode(encode(Image.fromarray(np.zeros((8, 8), np.float32)), "TIFF"))
    for value in (-1, 65536):
        with pytest.raises(DatasetError, match="beyond 16 bits have no one brightness"):
            decode(encode(Image.fromarray(np.full((8, 8), value, np.int32)), "TIFF"))


@pytest.mark.parametrize(("mode", "kind"), [("1", "PNG"), ("L", "PNG"), ("P", "GIF"), ("L", "BMP")])
def test_grey_and_palette_become_rgb(mode: str, kind: str) -> None:
    image = Image.fromarray(noise(8, 8)).convert(mode)
    decoded = decode(encode(image, kind))
    np.testing.assert_array_equal(decoded, np.asarray(image.convert("RGB")))


def test_printing_colours_become_rgb() -> None:
    inks = noise(8, 8, 4)
    decoded = decode(encode(Image.fromarray(inks, "CMYK"), "TIFF"))
    expected = (255 - inks[..., :3].astype(float)) * (255 - inks[..., 3:].astype(float)) / 255
    assert np.abs(decoded - expected).max() <= 1


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    decoded = decode(encode(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert (decoded == (255, 0, 0)).all()


def test_unusable_files_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match="9x7 is smaller than 8"):
        decode(encode(Image.new("RGB", (9, 7))))
    with pytest.raises(DatasetError, match="of no format that Pillow knows") as caught:
        decode(b"no picture")
    assert "0x" not in str(caught.value), "an address would differ from run to run"
    whole = encode(Image.fromarray(noise(32, 32, 3)), "JPEG")
    with pytest.raises(DatasetError, match=r"not a readable image .*truncated"):
        decode(whole[:-200])
    # An EPS is a program: it must not run.
    with pytest.raises(DatasetError, match="of no format that Pillow knows"):
        decode(encode(Image.new("RGB", (8, 8)), "EPS"))
    # Between Pillow's limit and twice its limit it only warns, beyond that it raises.
    for limit in (99, 49):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(DatasetError, match=r"too many pixels .*100 pixels"):
            decode(encode(Image.new("RGB", (10, 10))))


SEEDS = [
    encode(Image.fromarray(noise(8, 8, 3)), "PNG", exif=Image.Exif()),
    encode(Image.fromarray(noise(8, 8, 3)), "JPEG"),
    encode(Image.fromarray(noise(8, 8)).convert("P"), "GIF"),
    encode(Image.fromarray(noise(8, 8, high=65536)), "TIFF"),
    encode(Image.fromarray(noise(8, 8, 4)), "WEBP"),
    encode(Image.fromarray(noise(8, 8, 3)), "BMP"),
]


@given(
    data=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    length=st.integers(0, 500),
)
@settings(deadline=None, max_examples=300)
def test_damaged_files_give_a_picture_or_one_error(
    data: bytes, changes: list[tuple[int, int]], length: int
) -> None:
    damaged = bytearray(data)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    with suppress(DatasetError):
        assert decode(bytes(damaged[:length] if length > 20 else damaged)).shape == (8, 8, 3)
