"""The photos of a project: keys, copies, index."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image

from datasetgan.dataset.pairs import read_photo
from datasetgan.errors import ConfigError, DatasetError, UsageError
from datasetgan.features.source import Drawn, FeatureSource, Photo
from datasetgan.generators.source import GeneratorSource
from datasetgan.project.layout import ProjectLayout
from datasetgan.project.photos import copy_photos, read_photos, read_pictures
from datasetgan.project.project import Project
from tests.encoders.conftest import photograph


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, name in enumerate(["b.png", "A.jpg", "a.png", "über zelle.png", "…"]):
        image = Image.fromarray(photograph(20, 30, seed=i))
        exif = Image.Exif()
        exif[0x0112] = 6  # turned by 90 degrees
        path = folder / (name if "." in name else f"{name}.png")
        image.save(path, exif=exif if name == "A.jpg" else None)
    return folder


def test_keys_are_names_for_every_system(photos: Path, tmp_path: Path) -> None:
    layout = ProjectLayout(tmp_path / "project")
    seen: list[tuple[int, int]] = []
    made = copy_photos(layout, photos, on_progress=lambda *at: seen.append(at))
    assert [(p.key, p.name) for p in made] == [
        ("A", "A.jpg"),
        ("a-2", "a.png"),
        ("b", "b.png"),
        ("ber-zelle", "über zelle.png"),
        ("photo", "….png"),
    ]
    assert seen == [(i, 5) for i in range(1, 6)]
    assert read_photos(layout) == read_pictures(layout) == made
    for photo in made:
        path = layout.folder / photo.path
        assert path == layout.image(photo.key)
        assert sha256(path.read_bytes()).hexdigest() == photo.sha256
        assert photo.origin == Photo(photo.path, photo.sha256)
    assert read_photo(layout.image("A")).shape == (30, 20, 3)  # upright


def test_an_index_that_points_elsewhere_is_refused(photos: Path, tmp_path: Path) -> None:
    layout = ProjectLayout(tmp_path / "project")
    copy_photos(layout, photos)
    index = json.loads(layout.sample_index.read_text("utf-8"))
    index["photos"][0]["path"] = "../secret.png"
    layout.sample_index.write_text(json.dumps(index), "utf-8")
    with pytest.raises(ConfigError, match="within the project"):
        read_photos(layout)
    index["photos"][0] = index["photos"][1]
    layout.sample_index.write_text(json.dumps(index), "utf-8")
    with pytest.raises(ConfigError, match="one key"):
        read_photos(layout)


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="holds no photo"):
        copy_photos(ProjectLayout(tmp_path / "project"), tmp_path / "empty")


def test_drawn_samples_are_a_source_too(project: Project) -> None:
    samples = project.add_samples(2)
    generator = project.load_generator()
    stored: FeatureSource = project.load_source()
    drawn: FeatureSource = GeneratorSource(generator, project.settings.sampling)
    assert stored.digest == drawn.digest == project.settings.generator_sha256
    assert stored.feature_levels == drawn.feature_levels == generator.feature_levels
    for sample in samples:
        pairs = zip(
            stored.features(sample.origin).tensors,
            drawn.features(sample.origin).tensors,
            strict=True,
        )
        assert all(bool((a == b).all()) for a, b in pairs)
        assert not stored.features(sample.origin).tensors[0].requires_grad
    for source in (stored, drawn):
        with pytest.raises(UsageError, match="draws samples from seeds"):
            source.features(Photo("a.png", "0" * 64))
    with pytest.raises(UsageError, match=r"no sample of .* has the seed 77"):
        stored.features(Drawn(77))
