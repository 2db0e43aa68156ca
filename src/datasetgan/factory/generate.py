"""Labelled samples out of latents, streamed to disk (Zhang et al. 2021, sec. 3)."""

from collections.abc import Callable, Sequence
from collections.abc import Generator as GeneratorIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from math import isfinite
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from datasetgan.dataset import (
    UNCERTAINTY_SCALE,
    DatasetManifest,
    Keypoints,
    LabelledSample,
    SampleRecord,
    begin_dataset,
    find_dataset,
    finish_dataset,
    part_is_done,
    write_part,
    write_sample,
)
from datasetgan.dataset.manifest import FORMAT
from datasetgan.errors import UsageError
from datasetgan.factory.settings import GenerationProgress, GenerationSettings
from datasetgan.features import FeaturePyramid
from datasetgan.generators import Generator, Synthesis, sample_images
from datasetgan.interpreter import Interpreter, check_fitted_on
from datasetgan.interpreter.keypoints import KeypointInterpreter
from datasetgan.interpreter.label_precision import PrecisionChoice, choose_label_precision
from datasetgan.serialization import to_plain
from datasetgan.taxonomy import IGNORE_INDEX, ClassTaxonomy

__all__ = ["generate_samples"]

# Encoding and writing release the interpreter lock; a few threads keep a GPU busy.
_WRITERS = 4


def generate_samples(
    generator: Generator,
    interpreter: Interpreter | None,
    out: Path,
    *,
    settings: GenerationSettings,
    keypoints: KeypointInterpreter | None = None,
    taxonomy: ClassTaxonomy | None = None,
    on_labelling: Callable[[PrecisionChoice], None] | None = None,
    on_progress: Callable[[GenerationProgress], None] | None = None,
) -> DatasetManifest:
    """Generate a labelled dataset into a folder, or go on with one that was interrupted.

    Samples are made in fixed batches, so that a run which was interrupted and
    repeated leaves the same bytes as one that was not, on one machine with one
    thread count. At any time two batches are held in memory, however many samples.

    The manifest holds the precision of the labels that was decided on, never ``"auto"``;
    a run that goes on with a dataset keeps to it and measures nothing.

    Args:
        generator: synthesizes the images.
        interpreter: labels them; fitted on this generator. None where keypoints alone are
            wanted: all label maps are then unpainted, `interpreter_sha256` is empty, and
            an image's uncertainty is the members' mean spread over its points, as a share
            of the longer side.
        out: a folder that is new, empty, or was begun with the same settings.
        settings: what to generate.
        keypoints: places named points in every sample; fitted on this generator.
        taxonomy: the classes that label maps would have; needed without interpreter, whose
            classes they are otherwise.
        on_labelling: called once before the first batch of this run is labelled.
        on_progress: called after every batch that is on disk, in this thread.

    Returns:
        The manifest, as it lies in the folder. If the dataset is complete already,
        nothing is generated.

    Raises:
        UsageError: an interpreter was fitted on another generator, the generator
            needs class labels, its features overflow in the chosen precision, labels
            cannot be made in bfloat16 here, or there is neither interpreter.
        DatasetError: the folder holds something else or a dataset of other settings.
        StorageError: the disk is full or the place cannot be written; what is on disk
            is whole, and the same call goes on from there.
    """
    if generator.label_dim and settings.class_label is None:
        raise UsageError(
            f"the generator needs one of {generator.label_dim} class labels: give class_label, "
            "the class that all samples are to be of."
        )
    taxonomy = taxonomy if interpreter is None else interpreter.taxonomy
    if interpreter is None:
        _check_keypoints_alone(settings, keypoints, taxonomy)
    else:
        check_fitted_on(interpreter.ensemble, generator.digest, what="interpreter")
    assert taxonomy is not None
    if keypoints is not None:
        check_fitted_on(keypoints.ensemble, generator.digest, what="keypoint interpreter")
    if settings.label_resolution == generator.resolution:
        settings = replace(settings, label_resolution=None)  # said in two ways, made in one
    labeller = _Labeller(generator, interpreter, keypoints, taxonomy, settings, ready={})
    choice = _choose_precision(labeller, out)
    settings = replace(settings, label_precision=choice.precision)
    labeller = replace(labeller, settings=settings)
    plan = _plan(labeller)
    complete = begin_dataset(out, plan)
    if complete is not None:
        return complete

    todo = [b for b in range(settings.num_batches) if not part_is_done(out, b)]
    if todo and on_labelling is not None and interpreter is not None:
        on_labelling(choice)
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


def _check_keypoints_alone(
    settings: GenerationSettings,
    keypoints: KeypointInterpreter | None,
    taxonomy: ClassTaxonomy | None,
) -> None:
    """Check that points can be placed where nothing labels, and no label is asked for."""
    if keypoints is None or taxonomy is None:
        raise UsageError(
            "without an interpreter, samples need a keypoint interpreter and the taxonomy of the "
            "label maps that stay unpainted. Give both, or an interpreter."
        )
    if settings.uncertainty == "map" or settings.label_precision == "bfloat16":
        raise UsageError(
            "keypoints alone come without labels: leave uncertainty at 'score' and "
            "label_precision at 'auto' or 'float32'."
        )


def _ignore(_progress: GenerationProgress) -> None:
    pass


@dataclass(frozen=True, eq=False)
class _Labeller:
    """All that one run makes samples with.

    Attributes:
        ready: batches that are synthesized already, by index; each is taken out once.
    """

    generator: Generator
    interpreter: Interpreter | None
    keypoints: KeypointInterpreter | None
    taxonomy: ClassTaxonomy
    settings: GenerationSettings
    ready: dict[int, Synthesis]

    @property
    def image_size(self) -> tuple[int, int]:
        return self.generator.resolution, self.generator.resolution

    @property
    def label_size(self) -> tuple[int, int]:
        side = self.settings.label_resolution
        return self.image_size if side is None else (side, side)


def _choose_precision(labeller: _Labeller, out: Path) -> PrecisionChoice:
    """Settle in which precision labels are made; what was begun goes on as it was begun."""
    precision, interpreter = labeller.settings.label_precision, labeller.interpreter
    if interpreter is None:
        return PrecisionChoice("float32", "plain")
    engine = interpreter.labeller.engine
    found = find_dataset(out)

    def draw() -> FeaturePyramid:
        labeller.ready[0] = _synthesize(labeller, index=0)
        return labeller.ready[0].features

    if precision == "auto":
        if found is None:
            return choose_label_precision(interpreter, draw, size=labeller.label_size)
        # Datasets of before there was a choice do not name it. What is no precision at
        # all differs from this one, and so the plans do not match.
        recorded = found.settings.get("label_precision", "float32")
        precision = "bfloat16" if recorded == "bfloat16" else "float32"
    complete = found is not None and len(found.samples) > 0
    if precision == "bfloat16" and engine == "plain" and not complete:
        raise UsageError(
            "labels cannot be made in bfloat16 here: that takes a CPU and Numba, or an NVIDIA GPU "
            "and Triton. Set label_precision to 'auto' or 'float32' for a new dataset; go on "
            "with one in bfloat16 where it was begun."
        )
    return PrecisionChoice(precision, engine)


def _store_batches(
    labeller: _Labeller, out: Path, *, todo: Sequence[int]
) -> GeneratorIterator[int, None, None]:
    """Write one batch while the next is synthesized; yield the size of each one on disk."""
    writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="datasetgan-writer")
    pending: Future[int] | None = None
    try:
        for index in todo:
            samples = _label_batch(labeller, index=index)
            records = [writers.submit(write_sample, out, s, labeller.taxonomy) for s in samples]
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
    keypoints = labeller.keypoints
    height, width = labeller.image_size
    label_size = labeller.label_size
    differs = label_size != (height, width)
    return DatasetManifest(
        format=FORMAT,
        datasetgan_version=version("datasetgan"),
        torch_version=str(torch.__version__),
        generator_sha256=generator.digest or _digest_of_weights(generator),
        interpreter_sha256="" if interpreter is None else interpreter.digest,
        taxonomy=labeller.taxonomy,
        height=height,
        width=width,
        uncertainty_scale=UNCERTAINTY_SCALE,
        keypoints=None if keypoints is None else keypoints.schema,
        keypoint_interpreter_sha256=None if keypoints is None else keypoints.digest,
        label_height=label_size[0] if differs else None,
        label_width=label_size[1] if differs else None,
        settings={
            **to_plain(labeller.settings),
            "precision": str(generator.compute_dtype).removeprefix("torch."),
        },
    )


def _digest_of_weights(generator: Generator) -> str:
    """Name a generator that was built in memory, so that it cannot go on with another's work."""
    digest = sha256(type(generator).__name__.encode())
    for name, tensor in sorted(generator.state_dict().items()):
        digest.update(f"{name} {list(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@torch.inference_mode()
def _synthesize(labeller: _Labeller, *, index: int) -> Synthesis:
    settings = labeller.settings
    seeds = [settings.first_seed + i for i in settings.samples_of_batch(index)]
    return sample_images(labeller.generator, seeds, settings)[1]


@torch.inference_mode()
def _label_batch(labeller: _Labeller, *, index: int) -> list[LabelledSample]:
    settings = labeller.settings
    numbers = settings.samples_of_batch(index)
    synthesis = labeller.ready.pop(index, None) or _synthesize(labeller, index=index)
    images = synthesis.to_uint8()
    points: Sequence[Keypoints | None] = [None] * len(numbers)
    uncertainties: NDArray[np.float32] | None = None
    if labeller.keypoints is not None:
        placed = labeller.keypoints.predict(synthesis.features, size=labeller.image_size)
        points = [placed.keypoints(row) for row in range(len(numbers))]
        scores = (placed.spread.mean(dim=1) / max(labeller.image_size)).tolist()
    if labeller.interpreter is None:
        label_maps = np.full((len(numbers), *labeller.label_size), IGNORE_INDEX, np.uint8)
    else:
        prediction = labeller.interpreter.predict(
            synthesis.features,
            size=labeller.label_size,
            score_rule=settings.score_rule,
            precision="bfloat16" if settings.label_precision == "bfloat16" else "float32",
        )
        label_maps = prediction.label_map.to(torch.uint8).cpu().numpy()
        scores = prediction.uncertainty_score.tolist()
        if settings.uncertainty == "map":
            uncertainties = prediction.uncertainty.float().cpu().numpy()
    for number, score in zip(numbers, scores, strict=True):
        if not isfinite(score):
            raise UsageError(
                f"the sample of seed {settings.first_seed + number} has the uncertainty {score}, "
                f"so features overflow in {labeller.generator.compute_dtype}. Use float32."
            )
    return [
        LabelledSample(
            key=f"{number:06d}",
            seed=settings.first_seed + number,
            image=images[row],
            label_map=label_maps[row],
            uncertainty=None if uncertainties is None else uncertainties[row],
            uncertainty_score=scores[row],
            keypoints=points[row],
        )
        for row, number in enumerate(numbers)
    ]
