import json

import numpy as np
import pytest
from PIL import Image

from datasetgan.dataset import find_pairs, write_label_png
from datasetgan.downstream import (
    Evaluation,
    Segmenter,
    SegmenterSettings,
    build_segmenter,
    evaluate_segmenter,
)
from datasetgan.errors import LabelError, UsageError
from datasetgan.serialization import read_json, write_json

PURE = np.eye(3, dtype=np.uint8) * 255


@pytest.fixture
def segmenter(channels, discs):
    """Red is background, green is ring, blue is core."""
    settings = SegmenterSettings(model=channels)
    return Segmenter(discs, settings, (16, 16), build_segmenter(channels, 3).eval())


@pytest.fixture
def write_pair(tmp_path, discs):
    def write(name, seen, truth):
        """Write a photo that is predicted as `seen`, and its mask."""
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(PURE[seen]).save(tmp_path / "photos" / f"{name}.png")
        write_label_png(tmp_path / "masks" / f"{name}.png", truth, discs)
        return find_pairs(tmp_path / "photos", tmp_path / "masks")

    return write


def maps():
    first, second = np.zeros((2, 16, 16), dtype=np.uint8)
    first[:8] = 1
    second[:, :4] = 1
    return first, second


def test_scores_come_from_one_summed_matrix(segmenter, write_pair):
    first, second = maps()
    half = first.copy()
    half[:, 8:] = 255  # the right half is not painted, so not scored
    write_pair("a", first, half)
    pairs = write_pair("b", second, np.zeros_like(second))
    seen = []
    result = evaluate_segmenter(segmenter, pairs, on_progress=lambda *p: seen.append(p))
    assert seen == [(1, 2), (2, 2)]
    assert result.classes == ("background", "ring", "core")
    assert result.confusion == ((64 + 192, 64, 0), (0, 64, 0), (0, 0, 0))
    background, ring = 256 / 320, 64 / 128
    assert result.iou == (pytest.approx(background), pytest.approx(ring), None)
    assert result.f1[:2] == (pytest.approx(512 / 576), pytest.approx(128 / 192))
    assert result.f1[2] is None
    assert result.mean_iou == pytest.approx((background + ring) / 2)
    assert result.mean_iou_absent_zero == pytest.approx((background + ring) / 3)
    assert result.pixel_accuracy == pytest.approx(320 / 384)
    assert result.num_photos == 2
    assert [p.name for p in result.photos] == ["a", "b"]
    assert result.photos[0].pixel_accuracy == 1
    assert result.photos[1].pixel_accuracy == pytest.approx(192 / 256)
    assert result.photos[1].mean_iou == pytest.approx(192 / 256 / 2)


def test_merges_apply_to_both_sides(segmenter, write_pair):
    first, _ = maps()
    truth, seen = first.copy(), first.copy()
    truth[:4] = 2
    seen[2:6] = 2
    truth[4, 0] = 255
    pairs = write_pair("a", seen, truth)
    assert evaluate_segmenter(segmenter, pairs).pixel_accuracy < 1
    result = evaluate_segmenter(
        segmenter, pairs, merges={"nothing": ["background"], "disc": ["ring", "core"]}
    )
    assert result.classes == ("nothing", "disc")
    assert result.confusion == ((128, 0), (0, 127))
    assert result.mean_iou == 1
    with pytest.raises(UsageError, match="unknown class 'rim'"):
        evaluate_segmenter(segmenter, pairs, merges={"nothing": ["background"], "disc": ["rim"]})


def test_json_round_trip(segmenter, write_pair, tmp_path):
    first, _ = maps()
    result = evaluate_segmenter(segmenter, write_pair("a", first, first))
    path = tmp_path / "evaluation.json"
    write_json(path, result)
    assert json.loads(path.read_text())["iou"] == [1.0, 1.0, None]
    assert "NaN" not in path.read_text()
    assert read_json(path, Evaluation) == result


def test_bad_pairs(segmenter, write_pair):
    with pytest.raises(UsageError, match="no photos"):
        evaluate_segmenter(segmenter, ())
    first, _ = maps()
    pairs = write_pair("a", first, first[:8])
    with pytest.raises(LabelError, match=r"a\.png is 16x8 pixels, expected 16x16"):
        evaluate_segmenter(segmenter, pairs)
