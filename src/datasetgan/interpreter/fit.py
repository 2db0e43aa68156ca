"""Fit a style interpreter to painted samples."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from time import perf_counter

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datasetgan.errors import LabelError, UsageError
from datasetgan.generators import FeatureLevel, FeaturePyramid
from datasetgan.interpreter.classifier import PixelClassifier, StackedClassifiers
from datasetgan.interpreter.features import check_levels, sample_pixel_features
from datasetgan.interpreter.predict import Interpreter
from datasetgan.interpreter.regions import select_pixels
from datasetgan.interpreter.settings import FitProgress, FitReport, FitSettings
from datasetgan.runtime import Runtime, random_state
from datasetgan.taxonomy import IGNORE_INDEX, ClassTaxonomy

__all__ = ["PaintedSample", "fit_interpreter"]

# The first number of every random path says what the numbers are for.
_PIXEL_STREAM = 3
_ORDER_STREAM = 4
_REPORT_EVERY = 10


@dataclass(frozen=True)
class PaintedSample:
    """The features of one image and what a person painted on it.

    Attributes:
        features: of one image (batch size 1).
        label_map: [H, W] integer class ids, 255 where unpainted. Its grid covers the
            whole picture and may be finer or coarser than the features.
        key: names the sample in messages.
    """

    features: FeaturePyramid
    label_map: Tensor
    key: str = ""


@dataclass(frozen=True)
class _PixelPool:
    """All sampled pixels: features [P, C] float32, labels [P], and where they came from."""

    features: Tensor
    labels: Tensor
    levels: tuple[FeatureLevel, ...]
    images: int
    class_pixels: tuple[int, ...]


def fit_interpreter(
    samples: Iterable[PaintedSample],
    taxonomy: ClassTaxonomy,
    *,
    settings: FitSettings | None = None,
    runtime: Runtime | None = None,
    generator_digest: str = "",
    on_progress: Callable[[FitProgress], None] | None = None,
) -> Interpreter:
    """Fit an ensemble of pixel classifiers to painted samples (Zhang et al. 2021, sec. 3).

    The samples are read once, one image's features alive at a time; what stays is
    `pixels_per_image` feature vectors of each. Every member starts from weights of
    its own and sees the pixels in an order of its own; all take their steps
    together in batched products. Cross-entropy without class weights, Adam.

    The result is the same on every run on one machine.

    Args:
        samples: painted samples of one generator.
        taxonomy: the classes; one that nobody painted is allowed and reported.
        settings: `FitSettings()` by default.
        runtime: where it runs; float32 whatever its precision. The CPU by default.
        generator_digest: of the generator whose features these are; stays with the
            interpreter.
        on_progress: called after every sample and every few steps.

    Returns:
        The interpreter on the runtime's device, with its `report`.

    Raises:
        LabelError: nothing is painted, or a class id that the taxonomy does not know.
        UsageError: samples of different generators, features that are not finite or
            of more than one image, or a training that diverged.
    """
    settings = settings or FitSettings()
    start = perf_counter()
    report_progress = on_progress or (lambda progress: None)
    # A caller's inference mode would forbid the gradients needed here.
    with torch.inference_mode(mode=False), torch.enable_grad():
        pool = _gather_pixels(
            samples,
            taxonomy,
            settings=settings,
            device=(runtime or Runtime()).torch_device,
            report_progress=report_progress,
        )
        members = [
            PixelClassifier(pool.features.shape[1], len(taxonomy), seed=settings.seed, member=m)
            for m in range(settings.num_members)
        ]
        classifiers = StackedClassifiers.from_members(members).to(pool.features.device)
        losses = _train(classifiers, pool, settings=settings, report_progress=report_progress)
    report = FitReport(
        images=pool.images,
        pixels=len(pool.labels),
        class_pixels=pool.class_pixels,
        steps=len(losses),
        epochs=len(losses) * settings.batch / len(pool.labels),
        final_loss=float(losses[-ceil(len(losses) / 10) :].mean()),
        seconds=perf_counter() - start,
    )
    return Interpreter(
        taxonomy,
        pool.levels,
        classifiers.eval().requires_grad_(False),
        generator_digest=generator_digest,
        report=report,
    )


def _gather_pixels(
    samples: Iterable[PaintedSample],
    taxonomy: ClassTaxonomy,
    *,
    settings: FitSettings,
    device: torch.device,
    report_progress: Callable[[FitProgress], None],
) -> _PixelPool:
    levels: tuple[FeatureLevel, ...] = ()
    vectors: list[Tensor] = []
    labels: list[Tensor] = []
    class_pixels = np.zeros(len(taxonomy), dtype=np.int64)
    # No `enumerate`: it would hold each sample until the next one is there.
    for sample in samples:
        source = f"painted sample {sample.key or len(vectors)}"
        levels = levels or sample.features.levels
        check_levels(sample.features.levels, levels, source=f"the features of {source}")
        class_pixels += _count_classes(sample.label_map, taxonomy, source=source)
        seed = int(random_state(settings.seed, _PIXEL_STREAM, len(vectors)).randint(2**31))
        points = select_pixels(sample.label_map, count=settings.pixels_per_image, seed=seed)
        height, width = sample.label_map.shape
        found = sample_pixel_features(sample.features, points, size=(height, width))
        if not bool(found.isfinite().all()):
            raise UsageError(
                f"the features of {source} hold NaN or infinite values: "
                "use a generator precision of float32."
            )
        vectors.append(found.to(device))
        labels.append(sample.label_map.cpu()[points[:, 0], points[:, 1]].long().to(device))
        report_progress(FitProgress("read", len(vectors)))
        del sample  # before the next image's features are made
    images = len(vectors)
    if not any(len(part) for part in labels):
        raise LabelError(
            f"nothing is painted in {images} samples: every pixel is {IGNORE_INDEX}. "
            "Paint at least one region of every class and import the masks."
        )
    pooled = torch.empty(sum(map(len, vectors)), vectors[0].shape[1], device=device)
    filled = 0
    while vectors:  # each part is freed once copied: the pool is never held twice
        part = vectors.pop(0)
        pooled[filled : filled + len(part)] = part
        filled += len(part)
    return _PixelPool(
        pooled, torch.cat(labels), levels, images, tuple(int(n) for n in class_pixels)
    )


def _count_classes(
    label_map: Tensor, taxonomy: ClassTaxonomy, *, source: str
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Count the painted pixels of each class; an id beyond the taxonomy is an error."""
    ids, counts = np.unique(label_map.cpu().numpy(), return_counts=True)
    known = (ids >= 0) & (ids < len(taxonomy))
    unknown = ids[~known & (ids != IGNORE_INDEX)]
    if len(unknown):
        raise LabelError(
            f"{source} holds class id {unknown[0]}, but the taxonomy ends at "
            f"{len(taxonomy) - 1} ({taxonomy.names[-1]}). Correct the mask, or add the class."
        )
    total = np.zeros(len(taxonomy), dtype=np.int64)
    total[ids[known]] = counts[known]
    return total


def _train(
    classifiers: StackedClassifiers,
    pool: _PixelPool,
    *,
    settings: FitSettings,
    report_progress: Callable[[FitProgress], None],
) -> Tensor:
    """Train all members in place; return the mean loss of every step [steps], on the CPU."""
    per_epoch = ceil(len(pool.labels) / settings.batch)
    steps = min(settings.max_epochs * per_epoch, settings.max_steps)
    optimizer = torch.optim.Adam(classifiers.parameters(), lr=settings.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    orders = [
        _batches(len(pool.labels), settings=settings, member=m) for m in range(settings.num_members)
    ]
    losses = torch.zeros(steps, device=pool.labels.device)
    classifiers.train()
    for step in range(steps):
        index = torch.stack([next(order) for order in orders]).to(pool.labels.device)  # [M, B]
        logits = classifiers(pool.features[index])  # [M, B, K]
        loss = F.cross_entropy(logits.flatten(0, 1), pool.labels[index].flatten(), reduction="sum")
        # Members share no parameter: a sum over them trains each on its own mean.
        loss = loss / settings.batch
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses[step] = loss.detach() / settings.num_members
        if (step + 1) % _REPORT_EVERY == 0 or step + 1 == steps:
            current = losses[step].item()
            if not np.isfinite(current):
                raise UsageError(
                    f"the fit diverged at step {step + 1} of {steps} (loss {current}): "
                    f"set a learning_rate below {settings.learning_rate}."
                )
            report_progress(FitProgress("fit", step + 1, steps, current))
    return losses.cpu()


def _batches(count: int, *, settings: FitSettings, member: int) -> Iterator[Tensor]:
    """Yield a member's batches [B] of pixel numbers without end, epoch after epoch.

    Batches are full: one that an epoch cannot fill goes on with the next epoch.
    """
    random = random_state(settings.seed, _ORDER_STREAM, member)
    waiting = np.empty(0, dtype=np.int64)
    while True:
        while len(waiting) < settings.batch:
            waiting = np.concatenate([waiting, random.permutation(count)])
        yield torch.from_numpy(waiting[: settings.batch])
        waiting = waiting[settings.batch :]
