"""Settings of foreign constructors, translated word by word; nothing is passed over in silence."""

from collections.abc import Collection, Mapping
from typing import Any

from datasetgan.errors import CheckpointError

__all__ = ["check_agreement", "read_settings"]

_NESTED = ("mapping_kwargs", "synthesis_kwargs")


def read_settings(
    config: Mapping[str, Any],
    *,
    names: Mapping[str, str],
    fixed: Mapping[str, Collection[Any]],
    ignored: Collection[str],
    family: str,
) -> dict[str, Any]:
    """Return the settings under our names.

    Args:
        config: as the foreign project wrote it. What lies in `mapping_kwargs` or
            `synthesis_kwargs` is read as if it lay beside them.
        names: foreign word to ours. Several words may stand for one setting.
        fixed: words that may be given only with one of these values, because another
            value would be another network.
        ignored: words that leave the function computed by the network alone.
        family: for the message.

    Raises:
        CheckpointError: a word that is not known, a value that is not supported, or
            two words for one setting that contradict each other.
    """
    flat = {key: value for key, value in config.items() if key not in _NESTED}
    for nested in _NESTED:
        inner = config.get(nested, {})
        if not isinstance(inner, Mapping):
            raise CheckpointError(f"{family}'s {nested} must hold settings, got {inner!r}.")
        flat |= inner
    unknown = sorted(set(flat) - set(names) - set(fixed) - set(ignored))
    if unknown:
        raise CheckpointError(
            f"{family} settings that are not supported: {', '.join(unknown)}. "
            f"Supported: {', '.join(sorted({*names, *fixed}))}."
        )
    settings: dict[str, Any] = {}
    for word, value in flat.items():
        plain = list(value) if isinstance(value, tuple) else value
        if word in fixed and plain not in fixed[word]:
            raise CheckpointError(
                f"{family}'s {word} is {plain!r}, which is not supported; "
                f"expected {' or '.join(repr(v) for v in fixed[word])}."
            )
        if word in names and settings.setdefault(names[word], plain) != plain:
            raise CheckpointError(
                f"{family}'s settings contradict each other: {word} is {plain!r}, but another "
                f"word for it says {settings[names[word]]!r}."
            )
    return settings


def check_agreement(stated: Mapping[str, Any], shapes: Mapping[str, Any], *, family: str) -> None:
    """Raise `CheckpointError` where stated settings are not those that the shapes tell."""
    wrong = [
        f"{name} is said to be {stated[name]!r}, the tensors say {value!r}"
        for name, value in shapes.items()
        if name in stated and stated[name] != value
    ]
    if wrong:
        raise CheckpointError(
            f"the {family} settings are not those of these weights: {'; '.join(wrong)}. "
            "Correct them, or leave them out."
        )
