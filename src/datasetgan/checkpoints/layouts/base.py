"""What a layout of foreign tensor names is, and the account of every tensor it uses."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from datasetgan.errors import CheckpointError, listed
from datasetgan.generators import Generator

__all__ = ["LayoutSpec", "TensorAccount"]


@dataclass(frozen=True)
class LayoutSpec:
    """One project's way to name the tensors of a generator.

    Attributes:
        name: for instance ``"nvidia-stylegan2"``.
        mean_latent: the name of the tensor that is the mean latent.
        recognizes: whether a state dict with these names is of this layout.
        infer_config: settings from names and shapes alone, in NVIDIA's `init_kwargs`
            words. Raises `CheckpointError` naming each setting that leaves no trace in
            the shapes, so that the user states it.
        build: the generator, from tensors and settings. Every tensor is used exactly
            once or belongs to the layout's known constants; anything else raises
            `CheckpointError` with the two-sided list.
        licence_note: what is known of the licence of the family's published weights.
        mean_latent_draws: mapped latents whose mean stands in for a missing mean latent,
            where the import's card is to say so.
        mean_latent_rows: one mean latent, or each style input's ``"own"``.
    """

    name: str
    mean_latent: str
    recognizes: Callable[[Collection[str]], bool]
    infer_config: Callable[[Mapping[str, Tensor]], dict[str, Any]]
    build: Callable[[Mapping[str, Tensor], Mapping[str, Any]], Generator]
    licence_note: str
    mean_latent_draws: int | None = None
    mean_latent_rows: Literal["one", "own"] = "one"


class TensorAccount:
    """Hands out the tensors of a state dict, each once, and tells what was left over."""

    def __init__(self, tensors: Mapping[str, Tensor], *, source: str) -> None:
        self._tensors = dict(tensors)
        self._source = source
        self._missing: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def take(self, name: str) -> Tensor | None:
        """Return a tensor and strike it off; None, remembered for `close`, if it is missing."""
        tensor = self._tensors.pop(name, None)
        if tensor is None:
            self._missing.append(name)
        return tensor

    def leave(self, *suffixes: str) -> None:
        """Strike off tensors that carry nothing to learn, by the ends of their names."""
        self._tensors = {k: v for k, v in self._tensors.items() if not k.endswith(suffixes)}

    def close(self) -> None:
        """Raise `CheckpointError` listing what was missing and what nobody took."""
        problems = []
        if self._missing:
            problems.append(f"missing: {listed(sorted(self._missing))}")
        if self._tensors:
            problems.append(f"unexpected: {listed(sorted(self._tensors))}")
        if problems:
            raise CheckpointError(
                f"{self._source} does not fit: {'; '.join(problems)}. "
                "Is the layout, and the configuration, that of these weights?"
            )
