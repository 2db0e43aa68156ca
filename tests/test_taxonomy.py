"""Taxonomies: what they refuse, colours, merges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasetgan.errors import UsageError
from datasetgan.taxonomy import IGNORE_INDEX, ClassTaxonomy, LabelClass


@given(count=st.integers(2, 255))
def test_colors_are_distinct_and_never_white(count: int) -> None:
    taxonomy = ClassTaxonomy.from_names([f"class {i}" for i in range(count)])
    colors = {c.color for c in taxonomy.classes}
    assert len(colors) == count
    assert (255, 255, 255) not in colors
    assert taxonomy.palette[-3:] == [255, 255, 255]
    assert len(taxonomy.palette) == 768


def test_colorize_paints_ids_and_leaves_unpainted_white(taxonomy: ClassTaxonomy) -> None:
    picture = taxonomy.colorize(np.array([[3, IGNORE_INDEX]]))
    assert tuple(picture[0, 0]) == taxonomy.by_name("nucleus").color
    assert tuple(picture[0, 1]) == (255, 255, 255)


def test_an_unknown_name_suggests_the_nearest(taxonomy: ClassTaxonomy) -> None:
    with pytest.raises(UsageError, match=r"'nucelus'. Did you mean 'nucleus'\? Valid: background"):
        taxonomy.by_name("nucelus")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["background"], "needs 2 to 255 classes"),
        (["a", "b", "a"], "'a' stands twice"),
        (["a", "../b"], "is no class name"),
        (["a", ""], "is no class name"),
    ],
)
def test_bad_names_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ClassTaxonomy.from_names(names)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (LabelClass(2, "b", (1, 1, 1)), r"ids must be 0, 1, 2"),
        (LabelClass(1, "b", (0, 0, 0)), "is taken"),
        (LabelClass(1, "b", (255, 255, 255)), "is taken"),
        (LabelClass(1, "b", (0, 300, 0)), "not within 0 to 255"),
        (LabelClass(1, "b", (1, 1, 1), parent="c"), "unknown class 'c'"),
        (LabelClass(1, "b", (1, 1, 1), parent="b"), "its own ancestor"),
    ],
)
def test_bad_classes_are_refused(second: LabelClass, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ClassTaxonomy((LabelClass(0, "a", (0, 0, 0)), second))


def test_merging_by_name(taxonomy: ClassTaxonomy) -> None:
    merged, table = taxonomy.merged(
        {"background": ["background"], "cytoplasm": ["cytoplasm"], "nucleus": ["nucleus"]}
    )
    assert merged.names == ("background", "cytoplasm", "nucleus")
    # red_cell and platelet are named nowhere and fall to the background.
    assert table[:5].tolist() == [0, 0, 1, 2, 0]
    assert table[IGNORE_INDEX] == IGNORE_INDEX


def test_merging_refuses_a_class_twice(taxonomy: ClassTaxonomy) -> None:
    with pytest.raises(UsageError, match="merged into 'a' and 'b'"):
        taxonomy.merged({"a": ["nucleus"], "b": ["nucleus"]})
