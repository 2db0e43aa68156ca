"""Sheets: every picture at its place, pixel for pixel."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datasetgan.errors import StorageError, UsageError
from datasetgan.gan_training.sheets import write_neighbour_sheet, write_sheet


def pictures(count: int, *, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.RandomState(seed).randint(0, 256, (count, 5, 5, 3)).astype(np.uint8)


def read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.mode == "RGB"
        return np.array(image)


@pytest.mark.parametrize("zoom", [1, 3])
def test_a_sheet_holds_the_pictures_row_by_row(tmp_path: Path, zoom: int) -> None:
    shown = pictures(5)
    write_sheet(tmp_path / "new" / "sheet.png", shown, columns=3, zoom=zoom)
    sheet = read(tmp_path / "new" / "sheet.png")
    assert sheet.shape == (10 * zoom, 15 * zoom, 3)
    for corner in {0, zoom - 1}:
        small = sheet[corner::zoom, corner::zoom]
        for i, picture in enumerate(shown):
            top, left = 5 * (i // 3), 5 * (i % 3)
            np.testing.assert_array_equal(small[top : top + 5, left : left + 5], picture)
        assert (small[5:, 10:] == 255).all()


def test_fewer_pictures_than_columns_make_a_narrow_sheet(tmp_path: Path) -> None:
    write_sheet(tmp_path / "sheet.png", pictures(2), columns=8)
    assert read(tmp_path / "sheet.png").shape == (5, 10, 3)


def test_neighbours_stand_at_the_right_of_their_samples(tmp_path: Path) -> None:
    samples, photographs = pictures(3), pictures(3, seed=1)
    write_neighbour_sheet(tmp_path / "sheet.png", samples, photographs, columns=2)
    sheet = read(tmp_path / "sheet.png")
    assert sheet.shape == (14, 24, 3)
    for i in range(3):
        top, left = 7 * (i // 2), 12 * (i % 2)
        np.testing.assert_array_equal(sheet[top : top + 5, left : left + 5], samples[i])
        np.testing.assert_array_equal(sheet[top : top + 5, left + 5 : left + 10], photographs[i])
        assert (sheet[top : top + 7, left + 10 : left + 12] == 255).all()


def test_the_same_pictures_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_sheet(tmp_path / name, pictures(4), columns=2)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    with pytest.raises(UsageError, match="got 0 and 1"):
        write_sheet(path, pictures(2), columns=0)
    with pytest.raises(UsageError, match="got 2 and 0"):
        write_sheet(path, pictures(2), columns=2, zoom=0)
    with pytest.raises(UsageError, match="pictures must be uint8"):
        write_sheet(path, pictures(2)[0])
    with pytest.raises(UsageError, match="one neighbour per sample"):
        write_neighbour_sheet(path, pictures(2), pictures(3))
    assert not path.exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="a part of its path is a file"):
        write_sheet(tmp_path / "file" / "folder" / "sheet.png", pictures(1))
