"""Labelled samples out of latents, streamed to disk (Zhang et al. 2021, sec. 3)."""

from collections.abc import Callable, Sequence
from collections.abc import Generator as GeneratorIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Literal, get_args

import torch

from datasetgan.dataset import (
    UNCERTAINTY_SCALE,
    DatasetManifest,
    Keypoints,
    LabelledSample,
    SampleRecord,
    begin_dataset,
    finish_dataset,
    part_is_done,
    write_part,
    write_sample,
)
from datasetgan.dataset.manifest import FORMAT
from datasetgan.errors import UsageError, unknown_name
from datasetgan.generators import Generator, sample_latents
from datasetgan.interpreter import Interpreter, ScoreRule
from datasetgan.interpreter.keypoints import KeypointInterpreter
from datasetgan.serialization import to_plain

__all__ = ["GenerationProgress", "GenerationSettings", "generate_samples"]

# Encoding and writing release the interpreter lock; a few threads keep a GPU busy.
_WRITERS = 4


@dataclass(frozen=True)
class GenerationSettings:
    """What to generate.

    Attributes:
        num_samples: labelled images; the paper uses 10,000 in most experiments.
        first_seed: sample `i` has the seed ``first_seed + i``. Images to paint have
            seeds from 0, so by default none of them recurs.
        truncation_psi: pulls latents towards the mean latent, 1 not at all, 0 wholly.
        truncation_cutoff: truncates the first so many rows of ws; all where None.
        batch: images at a time; memory grows with it.
        uncertainty: keep each image's ``"score"`` alone, or its ``"map"`` as well.
        score_rule: how a map becomes the score of an image: the mean of its highest
            tenth (official code), or the sum over its pixels (paper).

    Raises:
        UsageError: a value is out of range.
    """

    num_samples: int = 10_000
    first_seed: int = 1_000_000
    truncation_psi: float = 0.7
    truncation_cutoff: int | None = None
    batch: int = 16
    uncertainty: Literal["score", "map"] = "score"
    score_rule: ScoreRule = "top_decile_mean"

    def __post_init__(self) -> None:
        for name, least in (("num_samples", 1), ("batch", 1), ("first_seed", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if not isfinite(self.truncation_psi):
            raise UsageError(f"truncation_psi must be a finite number, got {self.truncation_psi}.")
        if self.truncation_cutoff is not None and self.truncation_cutoff < 0:
            raise UsageError(f"truncation_cutoff must not be negative: {self.truncation_cutoff}.")
        for name in ("uncertainty", "score_rule"):
            valid = get_args(GenerationSettings.__annotations__[name])
            if getattr(self, name) not in valid:
                raise UsageError(unknown_name(name, getattr(self, name), valid))

    @property
    def num_batches(self) -> int:
        """Batches that the samples make, the last one perhaps smaller."""
        return -(-self.num_samples // self.batch)

    def samples_of_batch(self, index: int) -> range:
        """Return the indices of a batch's samples; they do not depend on interruptions."""
        return range(index * self.batch, min((index + 1) * self.batch, self.num_samples))


@dataclass(frozen=True)
class GenerationProgress:
    """How far a generation is.

    Attributes:
        done: samples that lie on disk, those of earlier runs included.
        total: samples to be.
    """

    done: int
    total: int


def generate_samples(
    generator: Generator,
    interpreter: Interpreter,
    out: Path,
    *,
    settings: GenerationSettings,
    keypoints: KeypointInterpreter | None = None,
    on_progress: Callable[[GenerationProgress], None] | None = None,
) -> DatasetManifest:
    """Generate a labelled dataset into a folder, or go on with one that was interrupted.

    Samples are made in fixed batches, so that a run which was interrupted and
    repeated leaves the same bytes as one that was not, on one machine with one
    thread count. At any time two batches are held in memory, however many samples.

    Args:
        generator: synthesizes the images.
        interpreter: labels them; fitted on this generator.
        out: a folder that is new, empty, or was begun with the same settings.
        settings: what to generate.
        keypoints: places named points in every sample; fitted on this generator.
        on_progress: called after every batch that is on disk, in this thread.

    Returns:
        The manifest, as it lies in the folder. If the dataset is complete already,
        nothing is generated.

    Raises:
        UsageError: an interpreter was fitted on another generator, the generator
            needs class labels, or its features overflow in the chosen precision.
        DatasetError: the folder holds something else or a dataset of other settings.
        StorageError: the disk is full or the place cannot be written; what is on disk
            is whole, and the same call goes on from there.
    """
    if generator.label_dim:
        raise UsageError(
            f"the generator needs one of {generator.label_dim} class labels per image; "
            "datasets are generated by unconditional generators alone."
        )
    labeller = _Labeller(generator, interpreter, keypoints, settings)
    plan = _plan(labeller)
    complete = begin_dataset(out, plan)
    if complete is not None:
        return complete

    todo = [b for b in range(settings.num_batches) if not part_is_done(out, b)]
    done = settings.num_samples - sum(len(settings.samples_of_batch(b)) for b in todo)
    report = on_progress or _ignore
    report(GenerationProgress(done, settings.num_samples))
    batches = _store_batches(labeller, out, todo=todo)
    # Closed here and not by the garbage collector: no thread writes after this call.
    with closing(batches):
        for count in batches:
            done += count
            report(GenerationProgress(done, settings.num_samples))
    return finish_dataset(out, plan, num_parts=settings.num_batches)


def _ignore(_progress: GenerationProgress) -> None:
    pass


@dataclass(frozen=True, eq=False)
class _Labeller:
    """All that one run makes samples with."""

    generator: Generator
    interpreter: Interpreter
    keypoints: KeypointInterpreter | None
    settings: GenerationSettings


def _store_batches(
    labeller: _Labeller, out: Path, *, todo: Sequence[int]
) -> GeneratorIterator[int, None, None]:
    """Write one batch while the next is synthesized; yield the size of each one on disk."""
    writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="datasetgan-writer")
    pending: Future[int] | None = None
    taxonomy = labeller.interpreter.taxonomy
    try:
        for index in todo:
            samples = _label_batch(labeller, index=index)
            records = [writers.submit(write_sample, out, s, taxonomy) for s in samples]
            del samples
            # Tasks start in the order they came, so this one never waits for one behind it.
            noted = writers.submit(_note_batch, out, index, records)
            # Waiting for the batch before bounds the memory: no third one is begun.
            if pending is not None:
                yield pending.result()
            pending = noted
        if pending is not None:
            yield pending.result()
    finally:
        # What was synthesized is written and noted before an interruption gets through.
        writers.shutdown(wait=True)


def _note_batch(out: Path, index: int, records: Sequence[Future[SampleRecord]]) -> int:
    write_part(out, index, tuple(record.result() for record in records))
    return len(records)


def _plan(labeller: _Labeller) -> DatasetManifest:
    generator, interpreter = labeller.generator, labeller.interpreter
    _check_fitted_on(generator, interpreter.generator_digest, what="interpreter")
    keypoints = labeller.keypoints
    if keypoints is not None:
        _check_fitted_on(generator, keypoints.generator_digest, what="keypoint interpreter")
    return DatasetManifest(
        format=FORMAT,
        datasetgan_version=version("datasetgan"),
        torch_version=str(torch.__version__),
        generator_sha256=generator.digest or _digest_of_weights(generator),
        interpreter_sha256=interpreter.digest,
        taxonomy=interpreter.taxonomy,
        height=generator.resolution,
        width=generator.resolution,
        uncertainty_scale=UNCERTAINTY_SCALE,
        keypoints=None if keypoints is None else keypoints.schema,
        keypoint_interpreter_sha256=None if keypoints is None else keypoints.digest,
        settings={
            **to_plain(labeller.settings),
            "precision": str(generator.compute_dtype).removeprefix("torch."),
        },
    )


def _check_fitted_on(generator: Generator, digest: str, *, what: str) -> None:
    if digest and generator.digest and digest != generator.digest:
        raise UsageError(
            f"the {what} was fitted on the generator {digest[:12]}..., this one is "
            f"{generator.digest[:12]}...: its labels would mean nothing. Fit it again."
        )


def _digest_of_weights(generator: Generator) -> str:
    """Name a generator that was built in memory, so that it cannot go on with another's work."""
    digest = sha256(type(generator).__name__.encode())
    for name, tensor in sorted(generator.state_dict().items()):
        digest.update(f"{name} {list(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@torch.inference_mode()
def _label_batch(labeller: _Labeller, *, index: int) -> list[LabelledSample]:
    generator, settings = labeller.generator, labeller.settings
    numbers = settings.samples_of_batch(index)
    latents = sample_latents(
        generator,
        [settings.first_seed + i for i in numbers],
        truncation_psi=settings.truncation_psi,
        truncation_cutoff=settings.truncation_cutoff,
    )
    synthesis = generator.synthesize(latents.ws, noise=latents.noise)
    images = synthesis.to_uint8()
    size = (images.shape[1], images.shape[2])
    prediction = labeller.interpreter.predict(
        synthesis.features, size=size, score_rule=settings.score_rule
    )
    points: Sequence[Keypoints | None] = [None] * len(numbers)
    if labeller.keypoints is not None:
        placed = labeller.keypoints.predict(synthesis.features, size=size)
        points = [placed.keypoints(row) for row in range(len(numbers))]
    label_maps = prediction.label_map.to(torch.uint8).cpu().numpy()
    uncertainties = prediction.uncertainty.float().cpu().numpy()
    scores = prediction.uncertainty_score.tolist()
    for number, score in zip(numbers, scores, strict=True):
        if not isfinite(score):
            raise UsageError(
                f"the sample of seed {settings.first_seed + number} has the uncertainty {score}, "
                f"so features overflow in {generator.compute_dtype}. Use float32."
            )
    return [
        LabelledSample(
            key=f"{number:06d}",
            seed=settings.first_seed + number,
            image=images[row],
            label_map=label_maps[row],
            uncertainty=uncertainties[row] if settings.uncertainty == "map" else None,
            uncertainty_score=scores[row],
            keypoints=points[row],
        )
        for row, number in enumerate(numbers)
    ]
