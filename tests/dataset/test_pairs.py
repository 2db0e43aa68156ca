"""Photos and masks are matched by name; what has no partner is listed."""

import numpy as np
import pytest
from PIL import Image

from datasetgan.dataset import PhotoPair, find_pairs, read_photo
from datasetgan.errors import DatasetError

PICTURE = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10


@pytest.fixture
def folders(tmp_path):
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    photos.mkdir()
    masks.mkdir()
    return photos, masks


def put(folder, *names):
    for name in names:
        Image.fromarray(PICTURE).save(folder / name)


def test_pairs_come_in_order_whatever_the_picture_format(folders):
    photos, masks = folders
    put(photos, "b.JPG", "a.png", "c.d.tiff")
    put(masks, "a.png", "c.d.png", "b.PNG")
    (photos / "LICENCE.txt").write_text("own work")
    (photos / ".hidden.png").write_text("")
    assert find_pairs(photos, masks) == (
        PhotoPair("a", photos / "a.png", masks / "a.png"),
        PhotoPair("b", photos / "b.JPG", masks / "b.PNG"),
        PhotoPair("c.d", photos / "c.d.tiff", masks / "c.d.png"),
    )


def test_all_that_has_no_partner_is_listed(folders):
    photos, masks = folders
    put(photos, "a.png", "b.png", "lone.jpg")
    put(masks, "a.png", "b.png", "orphan.png")
    with pytest.raises(
        DatasetError, match=r"without a mask: .*lone\.jpg.*without a photo"
    ) as caught:
        find_pairs(photos, masks)
    assert "orphan.png" in str(caught.value)
    assert "a.png" not in str(caught.value)


def test_long_lists_are_cut(folders):
    photos, masks = folders
    put(photos, *[f"{i:02d}.png" for i in range(15)])
    put(masks, "00.png")
    with pytest.raises(DatasetError, match=r"10\.png and 4 more"):
        find_pairs(photos, masks)


def test_folders_that_cannot_be_used(folders, tmp_path):
    photos, masks = folders
    with pytest.raises(DatasetError, match="nowhere is no folder"):
        find_pairs(tmp_path / "nowhere", masks)
    with pytest.raises(DatasetError, match="photos holds no photo"):
        find_pairs(photos, masks)
    put(photos, "a.png")
    put(masks, "a.jpg")
    with pytest.raises(DatasetError, match="masks holds no mask"):
        find_pairs(photos, masks)
    put(photos, "a.jpg")
    with pytest.raises(DatasetError, match=r"several files of one name: a\.jpg, a\.png"):
        find_pairs(photos, masks)


def test_photo_is_rgb_and_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: turn by 90 degrees clockwise
    Image.fromarray(PICTURE).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png"), np.rot90(PICTURE, -1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_photo_of_any_8_bit_kind(tmp_path, mode):
    suffix = "tiff" if mode == "CMYK" else "png"
    Image.fromarray(PICTURE).convert(mode).save(tmp_path / f"a.{suffix}")
    photo = read_photo(tmp_path / f"a.{suffix}")
    assert photo.shape == (2, 4, 3)
    assert photo.dtype == np.uint8


def test_photos_that_cannot_be_read(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.png does not exist"):
        read_photo(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(DatasetError, match=r"text\.png cannot be read"):
        read_photo(tmp_path / "text.png")
    noise = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    for suffix in ("png", "jpg", "tiff"):
        path = tmp_path / f"cut.{suffix}"
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:600])
        with pytest.raises(DatasetError, match=rf"cut\.{suffix} cannot be read"):
            read_photo(path)
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DatasetError, match="8 bits"):
        read_photo(tmp_path / "deep.png")
