"""Turn painting recipes written by a human or an AI, by looking, into label masks.

    paint.py render  RECIPE_DIR IMAGE_DIR MASK_DIR [--names A B ...]
    paint.py overlay IMAGE_DIR  MASK_DIR  OUT_DIR  [--names ...] [--zoom 8] [--crop X0 Y0 X1 Y1]

A recipe is one JSON object: "image" (file name), "painter", "notes", "steps". Steps are painted
in order, later ones over earlier ones. Every step has a "class" and at most one shape,
    "polygon": [[x, y], ...]              straight edges
    "curve":   [[x, y], ...]              closed smooth (Catmull-Rom) line through the points
    "ellipse": [cx, cy, rx, ry, angle]    angle in degrees, clockwise on screen

given directly (all of it is painted) or inside "within" (the area where "threshold" may paint);
without a shape the step covers the whole image. "threshold" is {"channel": "r|g|b|luma|saturation",
"below": v, "above": v} (one bound or both, 0..255); "smooth" (Gaussian sigma in px) blurs the
channel first; "open", "close" (radius in px), "fill_holes" (true, or the largest hole's area) and
"min_area" clean up, in this order. "only_over" lists the classes a step may overwrite (other pixels
are out of its reach before the cleaning too). "why" is a remark. Coordinates are pixels of the
image's own grid: pixel (0, 0) spans 0..1, its centre is at 0.5.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Mask = NDArray[np.bool_]
Json = dict[str, Any]
Bytes = NDArray[np.uint8]

CLASSES = {"background": 0, "red_cell": 1, "cytoplasm": 2, "nucleus": 3, "platelet": 4,
           "unpainted": 255}  # fmt: skip
COLOURS = {0: (250, 240, 220), 1: (230, 60, 30), 2: (0, 190, 230), 3: (255, 225, 0),
           4: (0, 170, 60), 255: (255, 0, 255)}  # fmt: skip
SHAPES = ("polygon", "curve", "ellipse")
CLEANING = ("smooth", "open", "close", "fill_holes", "min_area")
STEP_KEYS = ("class", "within", "threshold", "only_over", "why", *SHAPES, *CLEANING)


class RecipeError(ValueError):
    """A recipe that cannot be painted; the message says where and why."""


def check(names: Iterable[str], allowed: Iterable[str], what: str) -> None:
    """Refuse names nobody reads, so that a typing error is not silently ignored."""
    if unknown := sorted(set(names) - set(allowed)):
        raise RecipeError(f"unknown {what} {unknown}; known: {sorted(allowed)}")


def through(points: NDArray[np.float64], per_edge: int = 8) -> NDArray[np.float64]:
    """Return a dense closed Catmull-Rom polygon through the points."""
    a, b, c, d = (np.roll(points, k, axis=0)[:, None] for k in (1, 0, -1, -2))
    t = (np.arange(per_edge) / per_edge)[None, :, None]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2
                   + (3 * b - a - 3 * c + d) * t**3)  # fmt: skip
    return np.asarray(curve, dtype=np.float64).reshape(-1, 2)


def inside(points: NDArray[np.float64], grid: tuple[int, ...]) -> Mask:
    """Return the pixels whose centre lies inside the polygon (even-odd rule)."""
    y, x = np.indices(grid) + 0.5
    result = np.zeros(x.shape, dtype=np.bool_)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            result ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return result


def shape_mask(spec: Json, grid: tuple[int, ...]) -> Mask | None:
    """Return the area of the one shape that `spec` names, or None where it names none."""
    kinds = [kind for kind in SHAPES if kind in spec]
    if len(kinds) > 1:
        raise RecipeError(f"give one shape, not {kinds}")
    if not kinds:
        return None
    values = np.asarray(spec[kinds[0]], dtype=np.float64)
    if kinds[0] == "ellipse":
        if values.shape != (5,) or values[2] <= 0 or values[3] <= 0:
            raise RecipeError("ellipse needs [cx, cy, rx, ry, angle] with radii above 0")
        cx, cy, rx, ry, angle = values
        y, x = np.indices(grid) + 0.5
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        along, across = (x - cx) * cos + (y - cy) * sin, (y - cy) * cos - (x - cx) * sin
        return np.asarray((along / rx) ** 2 + (across / ry) ** 2 <= 1, dtype=np.bool_)
    if values.ndim != 2 or values.shape[1] != 2 or len(values) < 3:
        raise RecipeError(f"{kinds[0]} needs at least three [x, y] points")
    return inside(through(values) if kinds[0] == "curve" else values, grid)


def channel(rgb: Bytes, name: str) -> NDArray[np.float64]:
    """Return one channel of the image as values 0..255."""
    check([name], ("r", "g", "b", "luma", "saturation"), "channel")
    values = rgb.astype(np.float64)
    if name == "luma":
        return np.asarray(values @ np.array([0.299, 0.587, 0.114]), dtype=np.float64)
    if name == "saturation":
        high, low = values.max(axis=-1), values.min(axis=-1)
        return np.asarray(255 * (high - low) / np.maximum(high, 1), dtype=np.float64)
    return values[..., "rgb".index(name)]


def clean(area: Mask, step: Json) -> Mask:
    """Apply open, close, fill_holes and min_area, in this order."""
    for operation in ("open", "close"):
        if radius := float(step.get(operation, 0)):
            reach = int(np.ceil(radius))
            y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
            disc = x**2 + y**2 <= radius**2
            padded = np.pad(area, 2 * reach, mode="edge")
            work = ndimage.binary_opening if operation == "open" else ndimage.binary_closing
            area = work(padded, disc)[2 * reach : -2 * reach, 2 * reach : -2 * reach]
    if fill := step.get("fill_holes", False):
        holes = ndimage.binary_fill_holes(area) & ~area
        area = area | (holes if fill is True else holes & ~drop_small(holes, int(fill) + 1))
    return drop_small(area, int(step.get("min_area", 0)))


def drop_small(area: Mask, min_area: int) -> Mask:
    """Return the area without its connected pieces (8 neighbours) under `min_area` px."""
    labels, _ = ndimage.label(area, np.ones((3, 3)))
    keep = np.bincount(labels.ravel()) >= min_area
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)


def step_area(step: Json, rgb: Bytes, allowed: Mask) -> Mask:
    """Return the pixels a step paints, all of them among the allowed ones."""
    area = direct = shape_mask(step, allowed.shape)
    if "within" in step:
        check(step["within"], SHAPES, "key of within")
        area = shape_mask(step["within"], allowed.shape)
        if direct is not None or area is None or "threshold" not in step:
            raise RecipeError("within needs one shape and a threshold, and no other shape")
    area = allowed if area is None else area & allowed
    if "threshold" not in step:
        check([key for key in CLEANING if key in step], (), "key without a threshold")
        return area
    if direct is not None:
        raise RecipeError('put the shape of a threshold inside "within"')
    rule = step["threshold"]
    check(rule, ("channel", "below", "above"), "key of threshold")
    if "below" not in rule and "above" not in rule:
        raise RecipeError("threshold needs below or above")
    values = channel(rgb, rule.get("channel", "none"))
    values = ndimage.gaussian_filter(values, float(step.get("smooth", 0)))
    chosen = (values < rule.get("below", np.inf)) & (values > rule.get("above", -np.inf))
    return clean(chosen & area, step) & area


def render(recipe: Json, rgb: Bytes) -> Bytes:
    """Paint a whole recipe; what no step painted stays 255."""
    check(recipe, ("image", "painter", "notes", "steps"), "key")
    mask = np.full(rgb.shape[:2], 255, dtype=np.uint8)
    for number, step in enumerate(list(recipe["steps"])):
        try:
            check(step, STEP_KEYS, "key")
            names = step.get("only_over", list(CLASSES))
            check([step.get("class", "none"), *names], CLASSES, "class")
            allowed = np.isin(mask, [CLASSES[name] for name in names])
            mask[step_area(step, rgb, allowed)] = CLASSES[step["class"]]
        except (TypeError, ValueError, AttributeError) as error:
            raise RecipeError(f"step {number}: {error}") from error
    return mask


def overlay(rgb: Bytes, mask: Bytes, box: list[int], zoom: int) -> Image.Image:
    """Return the image beside the image with class outlines, both with axis ticks every 16 px."""
    x0, y0, x1, y1 = box
    wide, high = (x1 - x0) * zoom, (y1 - y0) * zoom
    big = Image.fromarray(rgb).crop((x0, y0, x1, y1)).resize((wide, high), Image.Resampling.BICUBIC)
    sheet = Image.new("RGB", (2 * wide + 48, high + 16), "white")
    draw = ImageDraw.Draw(sheet)
    for left in (24, wide + 48):
        sheet.paste(big, (left, 16))
        for x in range(-(-x0 // 16) * 16, x1, 16):
            at = left + (x - x0) * zoom
            draw.line((at, 10, at, 21), fill="black")
            draw.text((at + 2, 1), str(x), fill="black")
        for y in range(-(-y0 // 16) * 16, y1, 16):
            at = 16 + (y - y0) * zoom
            draw.line((left - 6, at, left + 5, at), fill="black")
            draw.text((left - 22, at + 1), str(y), fill="black")
    padded: Bytes = np.pad(mask, 1, mode="edge")
    for y, x in np.argwhere(mask[y0:y1, x0:x1] > 0).tolist():
        own, around = int(mask[y0 + y, x0 + x]), padded[y0 + y : y0 + y + 3, x0 + x : x0 + x + 3]
        left, top = wide + 48 + x * zoom, 16 + y * zoom
        right, low = left + zoom - 1, top + zoom - 1
        for other, line in ((around[1, 0], (left, top, left, low)),
                            (around[1, 2], (right, top, right, low)),
                            (around[0, 1], (left, top, right, top)),
                            (around[2, 1], (left, low, right, low))):  # fmt: skip
            if other != own:
                draw.line(line, fill=COLOURS.get(own, (255, 255, 255)))
    return sheet


def main(argv: list[str] | None = None) -> int:
    """Run one of the two commands over a folder; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, folders in (("render", ("recipes", "images", "masks")),
                          ("overlay", ("images", "masks", "out"))):  # fmt: skip
        command = commands.add_parser(name)
        for folder in folders:
            command.add_argument(folder, type=Path)
        command.add_argument("--names", nargs="+", help="only these (file names without ending)")
    command.add_argument("--zoom", type=int, default=8)
    command.add_argument("--crop", type=int, nargs=4, metavar=("X0", "Y0", "X1", "Y1"))
    args = parser.parse_args(argv)
    render_it = args.command == "render"
    target, pattern = (args.masks, "*.json") if render_it else (args.out, "*.png")
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted((args.recipes if render_it else args.masks).glob(pattern)):
        if args.names and path.stem not in args.names:
            continue
        try:
            one_image(path, args, target / f"{path.stem}.png")
        except (ValueError, TypeError, OSError) as error:
            print(f"paint.py: {path.name}: {error}", file=sys.stderr)
            return 1
    return 0


def one_image(path: Path, args: argparse.Namespace, target: Path) -> None:
    """Render one recipe, or draw the overlay of one mask."""
    recipe = json.loads(path.read_text()) if path.suffix == ".json" else {"image": path.name}
    if path.suffix == ".json" and not (
        isinstance(recipe, dict) and {"image", "steps"} <= {*recipe}
    ):
        raise RecipeError("a recipe is an object with image and steps")
    rgb = np.asarray(Image.open(args.images / recipe["image"]).convert("RGB"))
    if args.command == "render":
        picture = Image.fromarray(render(recipe, rgb))
        picture.putpalette([v for i in range(256) for v in COLOURS.get(i, (0, 0, 0))])
    else:
        box = args.crop or [0, 0, rgb.shape[1], rgb.shape[0]]
        picture = overlay(rgb, np.asarray(Image.open(path)), box, args.zoom)
    picture.save(target)


if __name__ == "__main__":
    sys.exit(main())
