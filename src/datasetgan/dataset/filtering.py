"""Leaving out the most uncertain samples: a choice at reading time (Zhang et al. 2021, sec. 3)."""

from collections.abc import Sequence
from math import floor

from datasetgan.dataset.manifest import SampleRecord
from datasetgan.errors import UsageError

__all__ = ["split_by_uncertainty"]


def split_by_uncertainty(
    records: Sequence[SampleRecord], *, drop_fraction: float = 0.1
) -> tuple[tuple[SampleRecord, ...], tuple[SampleRecord, ...]]:
    """Split records into those to keep and the most uncertain ones.

    Args:
        drop_fraction: share of the records to drop, in [0, 1); the paper drops a
            tenth. ``floor(n * drop_fraction)`` records are dropped.

    Returns:
        The kept records in the order they came, and the dropped ones, the most
        uncertain first. Of equal scores the smaller key counts as more uncertain.

    Raises:
        UsageError: `drop_fraction` is not within [0, 1).
    """
    if not 0 <= drop_fraction < 1:
        raise UsageError(
            f"drop_fraction must be at least 0 and less than 1, got {drop_fraction}. "
            "0.1 leaves out the tenth of the images that is most uncertain."
        )
    ranked = sorted(records, key=lambda record: (-record.uncertainty_score, record.key))
    # The small addend keeps 0.29 * 100 = 28.999... from losing a record.
    dropped = ranked[: floor(len(ranked) * drop_fraction + 1e-9)]
    keys = {record.key for record in dropped}
    return tuple(record for record in records if record.key not in keys), tuple(dropped)
