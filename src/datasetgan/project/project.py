"""The user's project folder as one value."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from datasetgan.checkpoints.generator_files import load_generator
from datasetgan.checkpoints.import_checkpoint import ImportReport
from datasetgan.errors import ProjectError, UsageError
from datasetgan.features.source import FeatureSource
from datasetgan.generators import Generator, Latents
from datasetgan.interpreter import PaintedSample
from datasetgan.interpreter.keypoints import AnnotatedSample
from datasetgan.keypoints import KeypointSchema
from datasetgan.project.create import create_project
from datasetgan.project.keypoints import (
    KeypointImport,
    SampleKeypoints,
    annotated_features,
    import_keypoints,
    sample_keypoints,
)
from datasetgan.project.labels import (
    LabelImport,
    PaintedLabel,
    import_labels,
    painted_features,
    painted_labels,
    save_label,
)
from datasetgan.project.layout import ProjectLayout, is_run_name
from datasetgan.project.photos import PhotoSample, Picture, read_photos, read_pictures
from datasetgan.project.samples import Sample, add_samples, read_latents, read_samples
from datasetgan.project.settings import (
    ProjectSettings,
    SamplingSettings,
    SettingsTable,
    read_settings,
    stage_settings,
)
from datasetgan.project.sources import (
    check_source,
    generator_file,
    load_source,
    own_source,
    photo_table,
)
from datasetgan.project.verify import SampleCheck, verify_samples
from datasetgan.runtime import Runtime
from datasetgan.taxonomy import ClassTaxonomy

__all__ = ["Project"]

T = TypeVar("T")


@dataclass(frozen=True)
class Project:
    """A folder that holds samples, their painted label maps and all that is made of them.

    Make one with `create` or `open`. Samples and labels are read from the disk
    whenever they are asked for.

    Attributes:
        folder: where it lies.
        settings: the content of its ``project.toml``.
    """

    folder: Path
    settings: ProjectSettings

    @classmethod
    def create(
        cls,
        folder: str | Path,
        *,
        name: str,
        generator: str | Path,
        taxonomy: ClassTaxonomy,
        sampling: SamplingSettings = SamplingSettings(),  # noqa: B008 - frozen
        keypoints: KeypointSchema | None = None,
        stages: Mapping[SettingsTable, object] | None = None,
        mean_latent: Path | None = None,
        licence: str | None = None,
        on_import: Callable[[ImportReport], None] | None = None,
    ) -> Self:
        """Make a new project folder, all of it or nothing.

        Args:
            folder: must not exist or be empty (but for ``.git``).
            name: one line of text.
            generator: name of an embedded generator, or a native checkpoint, which is
                copied into the project, or a file of another project, which is imported
                into it as `import_checkpoint` does by default.
            taxonomy: the classes to paint.
            sampling: how images to paint are drawn.
            keypoints: named points to mark in every image, if any.
            stages: a stage's settings by table, whose values ``project.toml`` shows as
                comments; see `settings_text`.
            mean_latent: ``.npy`` file of an imported generator's mean latent.
            licence: of an imported generator's weights.
            on_import: called with what an import found, once the project is made.

        Raises:
            ProjectError: the folder exists and is not empty.
            CheckpointError: no such generator, or its file is damaged or of another kind.
            UsageError: a name of more than one line, a class-conditional generator, or a
                mean latent or licence for one that is not imported.
            StorageError: the disk is full or the place cannot be written.
        """
        settings = create_project(
            Path(folder),
            name=name,
            generator=generator,
            taxonomy=taxonomy,
            sampling=sampling,
            keypoints=keypoints,
            stages=stages,
            mean_latent=mean_latent,
            licence=licence,
            on_import=on_import,
        )
        return cls(Path(folder), settings)

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a project folder and check that its network is the one it was made with.

        Raises:
            ProjectError: it is no project, is of a newer DatasetGAN, or its generator or
                encoder is missing or another one.
            ConfigError: ``project.toml`` does not parse, or a key or value is wrong.
        """
        project = cls(Path(folder), read_settings(ProjectLayout(Path(folder)).settings))
        check_source(project.layout, project.settings)
        return project

    @property
    def layout(self) -> ProjectLayout:
        """Where everything lies."""
        return ProjectLayout(self.folder)

    @property
    def runs(self) -> tuple[str, ...]:
        """Names of the runs beside the default one, sorted; see `ProjectLayout.run`."""
        folder = self.layout.runs
        paths = folder.iterdir() if folder.is_dir() else ()
        return tuple(sorted(p.name for p in paths if p.is_dir() and is_run_name(p.name)))

    @property
    def taxonomy(self) -> ClassTaxonomy:
        """The classes to paint."""
        return self.settings.taxonomy

    @property
    def keypoints(self) -> KeypointSchema:
        """The named points to mark.

        Raises:
            ProjectError: the project has none.
        """
        if self.settings.keypoints is None:
            raise ProjectError(
                f"{self.layout.settings} names no keypoints. Add a table [keypoints] with "
                'names = ["nose", "tail"], or make the project with `datasetgan new --keypoints`.'
            )
        return self.settings.keypoints.schema

    @property
    def generator_file(self) -> Path:
        """The checkpoint of the generator.

        Raises:
            ProjectError: there is none but photos, or no embedded one has its name.
        """
        return generator_file(self.layout, self.settings)

    def load_generator(self, runtime: Runtime | None = None) -> Generator:
        """Load the project's generator; on the CPU in float32 by default.

        Raises:
            ProjectError: the project has photos in its place.
            CheckpointError: the file is damaged.
        """
        return load_generator(self.generator_file, runtime=runtime)

    def load_source(self, runtime: Runtime | None = None) -> FeatureSource:
        """Load what features come from: of drawn samples, or of photos.

        Raises:
            CheckpointError: the file is damaged.
        """
        return load_source(self.layout, self.settings, runtime)

    def stage_settings(
        self,
        table: SettingsTable,
        cls: type[T],
        *,
        defaults: Mapping[str, Any] | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> T:
        """Build a stage's settings; see `project.settings.stage_settings`."""
        return stage_settings(
            self.layout.settings,
            self.settings,
            table=table,
            cls=cls,
            defaults=defaults or {},
            overrides=overrides or {},
        )

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All samples in the order they were drawn; see `photos` and `pictures`.

        Raises:
            ProjectError: the project has photos in their place.
            ConfigError: ``samples/index.json`` does not parse.
        """
        _ = self.generator_file
        return read_samples(self.layout)

    @property
    def photos(self) -> tuple[PhotoSample, ...]:
        """All photos in the order of their names.

        Raises:
            ProjectError: the project has a generator in their place.
            ConfigError: ``samples/index.json`` does not parse.
        """
        photo_table(self.layout, self.settings)
        return read_photos(self.layout)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All that can be painted: the samples, or the photos."""
        return read_pictures(self.layout)

    def add_samples(
        self,
        count: int,
        runtime: Runtime | None = None,
        *,
        seeds: Sequence[int] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> tuple[Sample, ...]:
        """Draw samples and append them; all of them or none.

        Args:
            count: how many.
            runtime: where the generator runs.
            seeds: one per sample; by default they go on behind the largest so far,
                from 0 in a new project.
            on_progress: called after every image with the number done and the total.

        Returns:
            The new samples.

        Raises:
            UsageError: `count` < 1 or not the number of seeds, or a seed that is
                negative or taken.
            ProjectError: the stored latents are damaged.
            StorageError: the disk is full.
        """
        if count < 1:
            raise UsageError(f"the number of samples to add must be at least 1, got {count}.")
        if seeds is None:
            first = max((sample.seed for sample in self.samples), default=-1) + 1
            seeds = range(first, first + count)
        if len(seeds) != count:
            raise UsageError(f"{count} samples need as many seeds, got {len(seeds)}.")
        return add_samples(
            self.layout,
            self.load_generator(runtime),
            seeds=seeds,
            sampling=self.settings.sampling,
            on_progress=on_progress,
        )

    def latents(self, keys: Sequence[str]) -> Latents:
        """Return what fixes some samples, on the CPU: ws [N, num_ws, w_dim] and noise seeds.

        Raises:
            UsageError: there is no sample of a key.
            ProjectError: the stored latents are missing or damaged.
        """
        return read_latents(self.layout, keys)

    def import_labels(self, source: str | Path, *, label_format: str = "png") -> LabelImport:
        """Copy painted label maps into the project; all are checked before any is written.

        Args:
            source: a file or a folder; PNG masks are called as their samples are.
            label_format: a name in `LABEL_FORMATS`.

        Raises:
            LabelError: a label map is of no sample, of another size, empty or damaged,
                or holds a class or colour that the taxonomy does not know.
            UsageError: an unknown format.
            ProjectError: the project has no samples yet.
            StorageError: the disk is full.
        """
        return import_labels(
            self.layout, Path(source), taxonomy=self.taxonomy, label_format=label_format
        )

    def save_label(self, key: str, label_map: NDArray[np.integer]) -> None:
        """Write the label map of one sample, checked as an import's, over a former one.

        Args:
            key: of the sample.
            label_map: [H, W] class ids of the image's size, `IGNORE_INDEX` where unpainted.

        Raises:
            LabelError: there is no such sample, or the map is of another size or shape, holds
                no painted pixel, or an id that the taxonomy does not know.
            StorageError: the disk is full; the former label map is still there.
        """
        save_label(self.layout, key, label_map=label_map, taxonomy=self.taxonomy)

    def painted(self) -> Iterator[PaintedLabel]:
        """Yield every painted sample with its label map, in the order of the samples.

        Raises:
            LabelError: a label map is of no sample, or does not fit it or the taxonomy.
        """
        return painted_labels(self.layout, taxonomy=self.taxonomy)

    def painted_features(self, source: Generator | FeatureSource) -> Iterator[PaintedSample]:
        """Yield what the interpreter is fitted on, one sample in memory at a time.

        Features are made again from the stored latent and noise seed, or the photo.

        Args:
            source: the project's own, see `load_source` and `load_generator`.

        Raises:
            ProjectError: no sample is painted, latents or photos are damaged, or the
                source is another one.
            LabelError: see `painted`.
        """
        own = own_source(self.layout, self.settings, source)
        return painted_features(self.layout, own, taxonomy=self.taxonomy)

    def import_keypoints(
        self, source: str | Path, *, keypoint_format: str = "auto"
    ) -> KeypointImport:
        """Add the points of a file to the project's; all are checked before any is written.

        Args:
            source: a file of CVAT (for images 1.1) or COCO (keypoints); pictures are
                matched with samples by file name.
            keypoint_format: ``"cvat"``, ``"coco"``, or ``"auto"``, which tells them apart.

        Raises:
            LabelError: see `read_keypoint_file`.
            UsageError: an unknown format.
            ProjectError: the project names no keypoints or has no samples yet.
            StorageError: the disk is full.
        """
        return import_keypoints(
            self.layout, Path(source), schema=self.keypoints, keypoint_format=keypoint_format
        )

    def annotated(self) -> Iterator[SampleKeypoints]:
        """Yield every sample that has keypoints, in the order of the samples.

        Raises:
            ProjectError: the project names no keypoints.
            LabelError: points are of no sample, of other names or outside their image.
        """
        return sample_keypoints(self.layout, schema=self.keypoints)

    def annotated_features(self, source: Generator | FeatureSource) -> Iterator[AnnotatedSample]:
        """Yield what the keypoint interpreter is fitted on, one sample in memory at a time.

        The argument and errors are those of `painted_features`, see also `annotated`.
        """
        own = own_source(self.layout, self.settings, source)
        return annotated_features(self.layout, own, schema=self.keypoints)

    def verify_samples(self, generator: Generator) -> tuple[SampleCheck, ...]:
        """Generate every sample again and compare it with its stored image.

        Raises:
            ProjectError: the latents are missing or damaged, or an image is of another size.
            DatasetError: an image is missing or damaged.
        """
        return verify_samples(self.layout, generator)
