"""Label maps in plain PyTorch: any device, any head, nothing compiled."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from datasetgan.interpreter.ensemble.folded import FoldedHead
from datasetgan.interpreter.labelling.base import Area, LabelMaps, Tile
from datasetgan.interpreter.labelling.projection import project_tile, tiles
from datasetgan.interpreter.uncertainty import combine_members

__all__ = ["label_plainly", "member_outputs"]


def label_plainly(
    images: Sequence[Sequence[Tensor]], head: FoldedHead, area: Area, *, out: LabelMaps
) -> None:
    """Label images one after the other, tile by tile; see `Labeller.label`."""
    for n, levels in enumerate(images):
        for tile, outputs in member_outputs(levels, head, area):
            answer = combine_members(outputs.flatten(1, 2))
            grid = outputs.shape[1:3]
            where = (n, tile.rows, tile.columns)
            out.label_map[where] = answer.labels.view(grid)
            out.uncertainty[where] = answer.divergence.view(grid)
            if out.probabilities is not None:
                mean = answer.mean_probability.T.reshape(-1, *grid)  # [K, R, S]
                out.probabilities[n, :, tile.rows, tile.columns] = mean


def member_outputs(
    levels: Sequence[Tensor], head: FoldedHead, area: Area
) -> Iterator[tuple[Tile, Tensor]]:
    """Yield the outputs [M, R, S, K] of all members for one tile of an area after the other.

    Args:
        levels: of one image, [C_l, h_l, w_l] each, none finer than the grid of `area`.
        head: on the device of the levels, or where they shall go.
        area: the tiles' rows and columns count from its corner.
    """
    weights = torch.split(head.first_weight, [level.shape[0] for level in levels], dim=1)
    height, width = area.size
    for tile in tiles((area.height, area.width)):
        rows = _targets(area.top, tile.rows, height, halo=head.halo)
        columns = _targets(area.left, tile.columns, width, halo=head.halo)
        inside = Tile(slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        hidden = project_tile(levels, weights, size=area.size, tile=inside)  # [R, S, M * H]
        hidden.add_(head.first_bias)
        if head.halo:
            # What lies beyond the picture repeats its edge.
            y = torch.tensor(rows, device=hidden.device) - rows[0]
            x = torch.tensor(columns, device=hidden.device) - columns[0]
            hidden = hidden[y[:, None], x]
        yield tile, head.outputs(hidden)


def _targets(offset: int, part: slice, size: int, *, halo: int) -> list[int]:
    """Return the rows or columns of the grid that a part of an area depends on, in order."""
    wanted = range(offset + part.start - halo, offset + part.stop + halo)
    return [min(max(i, 0), size - 1) for i in wanted]
