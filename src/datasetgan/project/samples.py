"""The samples of a project: images to paint, each with its latent and the seed of its noise."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from datasetgan.errors import ProjectError, UsageError, unknown_name
from datasetgan.features import FeatureLevel, FeaturePyramid
from datasetgan.features.source import Drawn, Origin
from datasetgan.generators import Generator, Latents, NoiseSeed, Sampling, Synthesis, sample_images
from datasetgan.project.layout import ProjectLayout
from datasetgan.serialization import read_json, write_atomic, write_json

__all__ = [
    "Sample",
    "Synthesizer",
    "add_samples",
    "read_latents",
    "read_samples",
    "sample_size",
]


@dataclass(frozen=True)
class _Named:
    key: str
    seed: int


@dataclass(frozen=True)
class Sample(Sampling, _Named):  # fields in the order of the bases from the right
    """One image of the generator that is painted or waits to be, and how it was drawn.

    Attributes:
        key: its name, ``"sample-0000"``; image and label map are called so.
        seed: of its latent and of its noise inputs.
    """

    truncation_psi: float = field()  # no default: every sample in the index states it

    @property
    def origin(self) -> Drawn:
        """What its features come from."""
        return Drawn(self.seed)


@dataclass(frozen=True)
class _Index:
    samples: tuple[Sample, ...]

    def __post_init__(self) -> None:
        # Latents belong to samples by order alone: an entry taken out would shift them all.
        if [sample.key for sample in self.samples] != _keys(0, len(self.samples)):
            raise UsageError(
                "keys must be sample-0000, sample-0001, ... without gaps. An entry may not be "
                "removed or moved: take the file back, and leave a sample that you do not want "
                "unpainted."
            )


def _keys(first: int, count: int) -> list[str]:
    return [f"sample-{number:04d}" for number in range(first, first + count)]


def read_samples(layout: ProjectLayout) -> tuple[Sample, ...]:
    """Return the samples in the order they were drawn; none before the first `sample`.

    Raises:
        ConfigError: the index does not parse.
    """
    if not layout.sample_index.exists():
        return ()
    return read_json(layout.sample_index, _Index).samples


def read_latents(layout: ProjectLayout, keys: Sequence[str]) -> Latents:
    """Return what fixes the samples of some keys; the errors are those of `Project.latents`."""
    samples = read_samples(layout)
    row_of = {sample.key: row for row, sample in enumerate(samples)}
    for key in keys:
        if key not in row_of:
            raise UsageError(unknown_name("sample", key, row_of))
    rows = [row_of[key] for key in keys]
    ws = _read_ws(layout, count=len(samples))
    return Latents(ws[rows], NoiseSeed(tuple(samples[row].seed for row in rows)))


def _read_ws(layout: ProjectLayout, *, count: int) -> Tensor:
    """Read the latents of the first `count` samples.

    There may be more rows than samples: the index is written after the latents, so
    rows beyond it are of an interrupted `add_samples` and do not count.
    """
    path = layout.latents
    remedy = "Take the file back from version control or a copy of the project."
    try:
        with safe_open(path, "pt") as file:
            ws: Tensor = file.get_tensor("ws")
    except (SafetensorError, OSError) as error:
        raise ProjectError(f"{path} is missing or damaged ({error}). {remedy}") from error
    if ws.ndim != 3 or ws.shape[0] < count or not ws.isfinite().all():
        raise ProjectError(
            f"{path} does not fit {layout.sample_index}: expected {count} or more finite latents "
            f"[N, num_ws, w_dim], got {list(ws.shape)}. {remedy}"
        )
    return ws[:count]


class Synthesizer:
    """Makes samples again from their latents, which it reads once, at the first sample.

    It is a `FeatureSource` of the project's samples.

    Args:
        layout: of the project.
        generator: the project's own.
    """

    def __init__(self, layout: ProjectLayout, generator: Generator) -> None:
        self._layout, self._generator = layout, generator
        self._ws: dict[int, Tensor] = {}

    @property
    def digest(self) -> str:
        """SHA-256 of the generator's checkpoint."""
        return self._generator.digest

    @property
    def feature_levels(self) -> tuple[FeatureLevel, ...]:
        """The generator's levels."""
        return self._generator.feature_levels

    def features(self, origin: Origin) -> FeaturePyramid:
        """Return the features of one of the project's samples.

        Raises:
            ProjectError: the stored latents are damaged or of another generator.
            UsageError: the sample is not drawn, or none of the project's.
        """
        if not isinstance(origin, Drawn):
            raise UsageError(f"a generator draws samples from seeds, got {origin}.")
        return self._synthesize(origin.seed).features

    def __call__(self, sample: Sample) -> Synthesis:
        """Return image and features [1, ...] of one of the project's samples.

        One at a time, so that neither memory nor the last bit depends on their number.

        Raises:
            ProjectError: the stored latents are damaged or of another generator.
        """
        return self._synthesize(sample.seed)

    def _synthesize(self, seed: int) -> Synthesis:
        if not self._ws:
            seeds = [known.seed for known in read_samples(self._layout)]
            ws = _read_ws(self._layout, count=len(seeds))
            _check_fits(self._layout, ws, self._generator)
            self._ws = dict(zip(seeds, ws[:, None], strict=True))
        if seed not in self._ws:
            raise UsageError(f"no sample of {self._layout.folder} has the seed {seed}.")
        return _synthesize(self._generator, Latents(self._ws[seed], NoiseSeed((seed,))))


def _synthesize(generator: Generator, latents: Latents) -> Synthesis:
    # Not inference_mode: features may go into a training graph. Not around a yield either,
    # where the mode would leak into the caller.
    with torch.no_grad():
        return generator.synthesize(latents.ws.to(generator.device), noise=latents.noise)


def add_samples(
    layout: ProjectLayout,
    generator: Generator,
    *,
    seeds: Sequence[int],
    sampling: Sampling,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Sample, ...]:
    """Draw one sample per seed and append them to a project.

    The index is written last: until then the project is as it was before.

    The arguments and errors are those of `Project.add_samples`.
    """
    old = read_samples(layout)
    _check_seeds(old, seeds)
    ws_old = _old_ws(layout, generator, count=len(old))
    new = tuple(
        Sample(key=key, seed=seed, **asdict(sampling))
        for key, seed in zip(_keys(len(old), len(seeds)), seeds, strict=True)
    )
    ws_new: list[Tensor] = []
    try:
        for done, sample in enumerate(new, start=1):
            # One at a time: neither memory nor the last bit of an image depends on the count.
            latents, synthesis = sample_images(generator, [sample.seed], sampling)
            buffer = BytesIO()
            Image.fromarray(synthesis.to_uint8()[0]).save(buffer, format="PNG")
            write_atomic(layout.image(sample.key), buffer.getvalue())
            ws_new.append(latents.ws.cpu())
            if on_progress is not None:
                on_progress(done, len(new))
        write_atomic(layout.latents, save({"ws": torch.cat([ws_old, *ws_new])}))
        write_json(layout.sample_index, _Index(old + new))
    except BaseException:
        # Ctrl-C may also come when the index was just written: then the images belong to it.
        if read_samples(layout) == old:
            for sample in new:
                layout.image(sample.key).unlink(missing_ok=True)
        raise
    return new


def _check_seeds(old: Sequence[Sample], seeds: Sequence[int]) -> None:
    taken = {sample.seed: sample.key for sample in old}
    for key, seed in zip(_keys(len(old), len(seeds)), seeds, strict=True):
        if seed in taken:
            raise UsageError(
                f"seed {seed} is that of {taken[seed]} already: the same image need not be "
                "painted twice. Leave the seed out or choose another."
            )
        taken[seed] = key


def _old_ws(layout: ProjectLayout, generator: Generator, *, count: int) -> Tensor:
    if count == 0:
        return torch.empty(0, generator.num_ws, generator.w_dim)
    ws = _read_ws(layout, count=count)
    _check_fits(layout, ws, generator)
    return ws


def _check_fits(layout: ProjectLayout, ws: Tensor, generator: Generator) -> None:
    if list(ws.shape[1:]) != [generator.num_ws, generator.w_dim]:
        raise ProjectError(
            f"{layout.latents} holds latents {list(ws.shape[1:])}, the generator's are "
            f"[{generator.num_ws}, {generator.w_dim}]. "
            "Is it the generator that the project was made with?"
        )


def sample_size(path: Path) -> tuple[int, int]:
    """Return the (height, width) of a sample's image, reading the file's head alone.

    Raises:
        ProjectError: the image is missing or no image.
    """
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, UnidentifiedImageError) as error:
        raise ProjectError(
            f"{path} is missing or no image ({error}). "
            "Take it back from version control or a copy of the project."
        ) from error
