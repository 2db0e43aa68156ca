"""A new project, around a generator, or around photos and a network that reads them."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from datasetgan.checkpoints.generator_files import is_foreign_file
from datasetgan.checkpoints.import_checkpoint import ImportReport
from datasetgan.checkpoints.native import WeightCard
from datasetgan.dataset.pairs import find_photos, read_photo
from datasetgan.encoders import SUPERVISION, import_encoder, network_name, teach_encoder
from datasetgan.encoders.self_supervised import SelfSupervision
from datasetgan.encoders.timm_networks import weights_page
from datasetgan.encoders.unlabelled import DEFAULT_SIDE
from datasetgan.errors import UsageError
from datasetgan.keypoints import KeypointSchema
from datasetgan.pipeline.events import OnEvent, Result, progress
from datasetgan.pipeline.settings import STAGE_SETTINGS, stage_defaults
from datasetgan.project import Project, SamplingSettings, SettingsTable
from datasetgan.project.create import check_vacant, create_photo_project
from datasetgan.runtime import Runtime, resolve_runtime
from datasetgan.serialization import sha256_of_file
from datasetgan.taxonomy import ClassTaxonomy

__all__ = ["new_photo_project", "new_project"]

_PHOTO_TABLES: tuple[SettingsTable, ...] = ("fit", "train")

SELF_SUPERVISED = "self-supervised"
"""In place of a file of weights: teach the network on the photos."""


def new_project(
    folder: str | Path,
    classes: ClassTaxonomy | Sequence[str],
    *,
    generator: str | Path = "wbc",
    keypoints: Sequence[str] = (),
    name: str | None = None,
    truncation_psi: float = 0.7,
    mean_latent: str | Path | None = None,
    licence: str | None = None,
    on_event: OnEvent | None = None,
) -> Project:
    """Make a project folder for a generator and a list of classes: `datasetgan new`.

    Args:
        folder: must not exist or be empty (but for ``.git``).
        classes: a taxonomy, or names, background first.
        generator: an embedded generator's name, a native checkpoint, or a file of another
            project, which is imported on the way.
        keypoints: names of points to mark in every image, if any.
        name: of the project; the folder's by default.
        truncation_psi: pull of latents to the mean latent: 1 none, 0 all.
        mean_latent: ``.npy`` file of an imported generator's mean latent.
        licence: of an imported generator's weights.
        on_event: told of an import: a `Result` with its `ImportReport`.

    Raises:
        DatasetGANError: see `Project.create`.
    """
    sampling = SamplingSettings(truncation_psi=truncation_psi)
    importing = is_foreign_file(generator)
    with progress(on_event, "Importing the generator") if importing else nullcontext():
        reports: list[ImportReport] = []
        project = Project.create(
            folder,
            name=name or Path(folder).resolve().name,
            generator=generator,
            taxonomy=_taxonomy(classes),
            sampling=sampling,
            stages=stage_defaults(sampling),
            keypoints=KeypointSchema(tuple(keypoints)) if keypoints else None,
            mean_latent=None if mean_latent is None else Path(mean_latent),
            licence=licence,
            on_import=reports.append,
        )
    if on_event is not None:
        for report in reports:
            on_event(Result(report))
    return project


def new_photo_project(
    folder: str | Path,
    classes: ClassTaxonomy | Sequence[str],
    *,
    source: str,
    photos: str | Path,
    weights: str | Path | None = None,
    side: int | None = None,
    supervision: SelfSupervision = SUPERVISION,
    name: str | None = None,
    licence: str = "unknown",
    runtime: Runtime | None = None,
    on_event: OnEvent | None = None,
) -> Project:
    """Make a project of photos: `datasetgan new --source`.

    Args:
        folder: must not exist or be empty (but for ``.git``).
        classes: a taxonomy, or names, background first.
        source: ``"timm:NAME"``, a network of timm.
        photos: a folder; its photos are copied into the project.
        weights: a file of the network's weights, see `import_encoder`, or
            ``"self-supervised"``, which teaches the network on the photos.
        side: the short side that photos are brought to before the network; what it was
            made for by default.
        supervision: how long ``"self-supervised"`` takes.
        name: of the project; the folder's by default.
        licence: of the weights.
        runtime: where the network is taught; `resolve_runtime()` by default.
        on_event: told the progress.

    Raises:
        UsageError: an unknown network, or no weights.
        DatasetGANError: see `import_encoder` and `create_photo_project`.
    """
    folder, photos = Path(folder), Path(photos)
    check_vacant(folder)
    network = network_name(source)
    found = find_photos(photos)
    if weights is None:
        raise UsageError(
            f"{source} needs weights: one with random weights knows nothing. Give --weights FILE, "
            f"the model.safetensors that timm's authors publish for {weights_page(network)}, or "
            f"--weights {SELF_SUPERVISED}, which teaches the network on the photos in minutes."
        )
    if str(weights) == SELF_SUPERVISED:
        with progress(on_event, "Teaching the network") as advance:
            encoder = teach_encoder(
                network,
                (read_photo(path) for path in found.values()),
                side=DEFAULT_SIDE if side is None else side,
                supervision=supervision,
                runtime=runtime or resolve_runtime(),
                on_step=lambda done, total: advance(done, total, ""),
            )
        card = WeightCard(
            title=f"{network}, taught without labels",
            licence="that of the photos",
            data=f"{len(found)} photos of the project {name or folder.resolve().name}",
            paper="Chen et al., A Simple Framework for Contrastive Learning, ICML 2020",
            settings=f"{supervision.steps} steps of {supervision.batch} photos",
        )
    else:
        path = Path(weights)
        encoder = import_encoder(network, path, side=side)
        card = WeightCard(
            title=network, licence=licence, source=path.name, source_sha256=sha256_of_file(path)
        )
    with progress(on_event, "Copying the photos") as advance:
        settings = create_photo_project(
            folder,
            name=name or folder.resolve().name,
            encoder=encoder,
            card=card,
            photos=photos,
            taxonomy=_taxonomy(classes),
            stages={table: STAGE_SETTINGS[table]() for table in _PHOTO_TABLES},
            on_progress=lambda done, total: advance(done, total, ""),
        )
    return Project(folder, settings)


def _taxonomy(classes: ClassTaxonomy | Sequence[str]) -> ClassTaxonomy:
    if isinstance(classes, ClassTaxonomy):
        return classes
    return ClassTaxonomy.from_names(list(classes))
