"""Named classes with colours, as a tree, and merges by name."""

import colorsys
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from datasetgan.errors import UsageError, unknown_name

__all__ = ["IGNORE_INDEX", "ClassTaxonomy", "LabelClass"]

IGNORE_INDEX = 255
"""Label of pixels that nobody painted: neither trained on nor scored."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_ .\-]*")
_BACKGROUND_COLOR = (0, 0, 0)
# Unpainted pixels are white on disk, so no class may be.
_UNPAINTED_COLOR = (255, 255, 255)


@dataclass(frozen=True)
class LabelClass:
    """One class of a taxonomy.

    Attributes:
        id: its value in a label map, 0 to 254; 0 is the background.
        name: unique, letters, digits, ``_ . -`` and blanks.
        color: RGB, 0 to 255 each, unique.
        parent: name of the class it is a part of, if any.
    """

    id: int
    name: str
    color: tuple[int, int, int]
    parent: str | None = None


@dataclass(frozen=True)
class ClassTaxonomy:
    """The classes of a project, in the order of their ids 0, 1, 2, ...

    Raises:
        UsageError: ids are not 0..K-1, a name or a colour stands twice, a parent
            is unknown or its own descendant, or there are fewer than two classes.
    """

    classes: tuple[LabelClass, ...]

    def __post_init__(self) -> None:
        names = [c.name for c in self.classes]
        if not 2 <= len(names) <= IGNORE_INDEX:
            raise UsageError(
                f"a taxonomy needs 2 to {IGNORE_INDEX} classes, background first; got {len(names)}."
            )
        if [c.id for c in self.classes] != list(range(len(names))):
            raise UsageError(
                f"class ids must be 0, 1, 2, ... in order, got {[c.id for c in self.classes]}."
            )
        for name in names:
            if not _NAME.fullmatch(name):
                raise UsageError(
                    f"{name!r} is no class name: letters, digits, '_', '.', '-' and blanks, "
                    "a letter or digit first."
                )
            if names.count(name) > 1:
                raise UsageError(f"class {name!r} stands twice in the taxonomy.")
        colors = [c.color for c in self.classes]
        for c in self.classes:
            if any(not 0 <= value <= 255 for value in c.color):
                raise UsageError(f"class {c.name!r}: colour {c.color} is not within 0 to 255.")
            if colors.count(c.color) > 1 or c.color == _UNPAINTED_COLOR:
                raise UsageError(
                    f"class {c.name!r}: colour {c.color} is taken "
                    "(by another class, or white, which means unpainted)."
                )
            self._check_ancestors(c)

    def _check_ancestors(self, start: LabelClass) -> None:
        seen = {start.name}
        parent = start.parent
        while parent is not None:
            if parent in seen:
                raise UsageError(f"class {start.name!r} is its own ancestor.")
            seen.add(parent)
            parent = self.by_name(parent).parent

    @classmethod
    def from_names(cls, names: Sequence[str]) -> Self:
        """Make a flat taxonomy with distinct colours; the first name is the background."""
        stripped = [name.strip() for name in names]
        return cls(
            tuple(LabelClass(i, name, _color(i, len(names))) for i, name in enumerate(stripped))
        )

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the order of ids."""
        return tuple(c.name for c in self.classes)

    def by_name(self, name: str) -> LabelClass:
        """Return a class.

        Raises:
            UsageError: there is none of that name; the message lists all.
        """
        for c in self.classes:
            if c.name == name:
                return c
        raise UsageError(unknown_name("class", name, self.names))

    def colorize(self, label_map: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Return the RGB picture [H, W, 3] of a label map [H, W]; unpainted pixels are white."""
        table = np.full((256, 3), _UNPAINTED_COLOR, dtype=np.uint8)
        table[: len(self.classes)] = [c.color for c in self.classes]
        picture: NDArray[np.uint8] = table[label_map]
        return picture

    @property
    def palette(self) -> list[int]:
        """256 RGB triples in one list, as an indexed PNG holds them."""
        flat: list[int] = self.colorize(np.arange(256)).reshape(-1).tolist()
        return flat

    def merged(
        self, merges: Mapping[str, Sequence[str]]
    ) -> tuple["ClassTaxonomy", NDArray[np.uint8]]:
        """Merge classes by name.

        Args:
            merges: new name to the old names it unites, in the order of new ids. A
                class named nowhere falls to the first new class, the background.

        Returns:
            The flat merged taxonomy, and the table [256] from old to new ids;
            ``table[IGNORE_INDEX] == IGNORE_INDEX``.

        Raises:
            UsageError: an unknown name, or one that is named twice.
        """
        table = np.full(256, IGNORE_INDEX, dtype=np.uint8)
        table[: len(self.classes)] = 0
        taken: dict[str, str] = {}
        for new_id, (new_name, old_names) in enumerate(merges.items()):
            for old_name in old_names:
                if old_name in taken:
                    raise UsageError(
                        f"class {old_name!r} is merged into {taken[old_name]!r} and {new_name!r}."
                    )
                taken[old_name] = new_name
                table[self.by_name(old_name).id] = new_id
        return ClassTaxonomy.from_names(list(merges)), table


def _color(index: int, count: int) -> tuple[int, int, int]:
    """Give each class a hue of its own; the background is black."""
    if index == 0:
        return _BACKGROUND_COLOR
    hue = (index - 1) / max(count - 1, 1)
    # Neighbours in hue differ in brightness too, which tells many classes apart.
    value = (1.0, 0.75, 0.55)[(index - 1) % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, value)
    return round(red * 255), round(green * 255), round(blue * 255)
