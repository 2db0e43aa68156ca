"""Fit a keypoint interpreter to samples whose points a person has placed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil, cos, pi
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from datasetgan.errors import LabelError, UsageError
from datasetgan.features import FeatureLevel, FeaturePyramid
from datasetgan.features.reading import check_levels, picture_size, sample_pixel_features
from datasetgan.interpreter.ensemble.heads import build_head
from datasetgan.interpreter.ensemble.stacked import StackedHead
from datasetgan.interpreter.fitting.optimizer import Adam
from datasetgan.interpreter.fitting.settings import FitProgress
from datasetgan.interpreter.keypoints.predict import KeypointInterpreter
from datasetgan.interpreter.keypoints.settings import KeypointReport, KeypointSettings
from datasetgan.keypoints import Keypoints, KeypointSchema, check_keypoints
from datasetgan.keypoints.heat_maps import gaussian_heat_maps, sigma_in_pixels
from datasetgan.runtime import Runtime, Stream, random_state

__all__ = ["AnnotatedSample", "fit_keypoint_interpreter", "select_heat_pixels"]

# The first number of every random path says what the numbers are for; the fit of
# classes has 3 and 4.
_REPORT_EVERY = 10
# Three standard deviations: the Gaussian is at one part in a hundred there.
_NEAR_HEAT = float(np.exp(-4.5))


@dataclass(frozen=True)
class AnnotatedSample:
    """The features of one image and the points that a person placed on it.

    Attributes:
        features: of one image (batch size 1).
        keypoints: in pixels of the picture, in the order of the schema.
        key: names the sample in messages.
        size: (height, width) of the picture that the points are given in; the finest
            feature level's by default.
    """

    features: FeaturePyramid
    keypoints: Keypoints
    key: str = ""
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class _HeatPool:
    """All sampled pixels: features [P, C] float32, heat [P, J], and where they came from."""

    features: Tensor
    heat: Tensor
    levels: tuple[FeatureLevel, ...]
    images: int
    points: tuple[int, ...]


def fit_keypoint_interpreter(
    samples: Iterable[AnnotatedSample],
    schema: KeypointSchema,
    *,
    settings: KeypointSettings | None = None,
    runtime: Runtime | None = None,
    generator_digest: str = "",
    on_progress: Callable[[FitProgress], None] | None = None,
) -> KeypointInterpreter:
    """Fit an ensemble that regresses heat maps of keypoints (Zhang et al. 2021, sec. 3).

    Every member regresses the heat of a pixel from its features by the mean squared
    error. The samples are read once, one image's features alive at a time; what stays is
    `pixels_per_image` feature vectors of each. Members start from weights of their own
    and take their steps together, on the same pixels, in batched products.

    The result is the same on every run on one machine.

    Args:
        samples: annotated samples of one generator.
        schema: the names of the points; one that no sample shows is allowed and reported.
        settings: `KeypointSettings()` by default.
        runtime: where it runs; float32 whatever its precision. The CPU by default.
        generator_digest: of the generator whose features these are; stays with the
            interpreter.
        on_progress: called after every sample and every few steps; the loss is the mean
            squared error of the heat.

    Returns:
        The interpreter on the runtime's device, with its `report`.

    Raises:
        LabelError: no point is visible in any sample, or points that do not fit the
            schema or the picture.
        UsageError: samples of different generators, features that are not finite or
            of more than one image, or a training that diverged.
    """
    settings = settings or KeypointSettings()
    start = perf_counter()
    report_progress = on_progress or (lambda progress: None)
    # A caller's inference mode would forbid the gradients needed here.
    with torch.inference_mode(mode=False), torch.enable_grad():
        pool = _gather(
            samples,
            schema,
            settings=settings,
            device=(runtime or Runtime()).torch_device,
            report_progress=report_progress,
        )
        members = build_head(
            settings.head,
            num_members=settings.num_members,
            in_channels=pool.features.shape[1],
            num_outputs=len(schema),
            seed=settings.seed,
        ).to(pool.features.device)
        losses = _train(members, pool, settings=settings, report_progress=report_progress)
    return KeypointInterpreter(
        schema=schema,
        levels=pool.levels,
        members=members.eval().requires_grad_(False),
        head=settings.head,
        sigma_share=settings.sigma_share,
        threshold=settings.threshold,
        generator_digest=generator_digest,
        report=KeypointReport(
            images=pool.images,
            pixels=len(pool.heat),
            points=pool.points,
            steps=len(losses),
            final_loss=float(losses[-ceil(len(losses) / 10) :].mean()),
            seconds=perf_counter() - start,
        ),
    )


def select_heat_pixels(heat: Tensor, *, count: int, seed: int) -> Tensor:
    """Choose pixels to fit on: those near points, and others from everywhere else.

    A picture is nearly all far from its points; pixels drawn evenly would show next to
    nothing but zeros.

    Args:
        heat: [J, H, W], 0 to 1.
        count: pixels wanted, at least 2. At most half of them are near, that is within
            three standard deviations of a point, an equal share near each; fewer
            come where the picture has fewer.
        seed: a non-negative integer; the same seed chooses the same pixels.

    Returns:
        [P, 2] int64 rows and columns on the CPU, distinct, in reading order.
    """
    random = random_state(seed, Stream.KEYPOINT_REGIONS)
    near = (heat.flatten(1) > _NEAR_HEAT).numpy()  # [J, HW]
    bumps = [random.permutation(np.flatnonzero(row)) for row in near if row.any()]
    chosen = [bump[: max(1, count // 2 // len(bumps))] for bump in bumps]
    kept = np.unique(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64)
    far = random.permutation(np.flatnonzero(~near.any(axis=0)))
    flat = np.sort(np.concatenate([kept, far[: max(0, count - len(kept))]]))
    rows, columns = np.divmod(flat, heat.shape[2])
    return torch.from_numpy(np.stack([rows, columns], axis=1).astype(np.int64))


def _gather(
    samples: Iterable[AnnotatedSample],
    schema: KeypointSchema,
    *,
    settings: KeypointSettings,
    device: torch.device,
    report_progress: Callable[[FitProgress], None],
) -> _HeatPool:
    levels: tuple[FeatureLevel, ...] = ()
    vectors: list[Tensor] = []
    heats: list[Tensor] = []
    points = np.zeros(len(schema), dtype=np.int64)
    # No `enumerate`: it would hold each sample until the next one is there.
    for sample in samples:
        source = f"annotated sample {sample.key or len(vectors)}"
        levels = levels or sample.features.levels
        check_levels(sample.features.levels, levels, source=f"the features of {source}")
        size = sample.size or picture_size(sample.features)
        check_keypoints(sample.keypoints, schema, size=size, source=source)
        points += sample.keypoints.visible
        sigma = sigma_in_pixels(settings.sigma_share, size)
        heat = gaussian_heat_maps(sample.keypoints, size=size, sigma=sigma)  # [J, H, W]
        seed = int(random_state(settings.seed, Stream.KEYPOINT_PIXELS, len(vectors)).randint(2**31))
        chosen = select_heat_pixels(heat, count=settings.pixels_per_image, seed=seed)
        found = sample_pixel_features(sample.features, chosen, size=size)
        if not bool(found.isfinite().all()):
            raise UsageError(
                f"the features of {source} hold NaN or infinite values: "
                "use a generator precision of float32."
            )
        vectors.append(found.to(device))
        heats.append(heat[:, chosen[:, 0], chosen[:, 1]].mT.to(device))  # [P, J]
        report_progress(FitProgress("read", len(vectors)))
        del sample  # before the next image's features are made
    if not points.any():
        raise LabelError(
            f"no keypoint is visible in {len(vectors)} samples. "
            "Place points on at least one sample and import them."
        )
    images = len(vectors)
    pooled = torch.empty(sum(map(len, vectors)), vectors[0].shape[1], device=device)
    filled = 0
    while vectors:  # each part is freed once copied: the pool is never held twice
        part = vectors.pop(0)
        pooled[filled : filled + len(part)] = part
        filled += len(part)
    return _HeatPool(
        pooled, torch.cat(heats).contiguous(), levels, images, tuple(int(n) for n in points)
    )


def _train(
    members: StackedHead,
    pool: _HeatPool,
    *,
    settings: KeypointSettings,
    report_progress: Callable[[FitProgress], None],
) -> Tensor:
    """Train all members in place; return the mean loss of every step [steps], on the CPU."""
    optimizer = Adam(members.parameters())
    random = random_state(settings.seed, Stream.KEYPOINT_ORDER)
    waiting = np.empty(0, dtype=np.int64)
    losses = torch.zeros(settings.steps, device=pool.heat.device)
    members.train()
    for step in range(settings.steps):
        while len(waiting) < settings.batch:
            waiting = np.concatenate([waiting, random.permutation(len(pool.heat))])
        index = torch.from_numpy(waiting[: settings.batch]).to(pool.heat.device)  # [B]
        waiting = waiting[settings.batch :]
        outputs = members(pool.features[index])  # [M, B, J]
        error = (outputs - pool.heat[index]).square().mean(dim=(1, 2))  # [M]
        # Members share no parameter: a sum over them trains each on its own error.
        error.sum().backward()
        optimizer.step(settings.learning_rate * 0.5 * (1 + cos(pi * step / settings.steps)))
        losses[step] = error.detach().mean()
        if (step + 1) % _REPORT_EVERY == 0 or step + 1 == settings.steps:
            current = losses[step].item()
            if not np.isfinite(current):
                raise UsageError(
                    f"the fit diverged at step {step + 1} of {settings.steps} (loss {current}): "
                    f"set a learning_rate below {settings.learning_rate}."
                )
            report_progress(FitProgress("fit", step + 1, settings.steps, current))
    return losses.cpu()
