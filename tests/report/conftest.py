"""A whole project of the tiny generator, made once and copied, and a reader of pages."""

import shutil
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from datasetgan.checkpoints.generator_files import save_generator
from datasetgan.checkpoints.native import WeightCard
from datasetgan.dataset import PhotoPair, find_pairs
from datasetgan.downstream import Segmenter, SegmenterSettings, evaluate_segmenter
from datasetgan.downstream.models import SEGMENTERS
from datasetgan.factory import GenerationSettings, generate_samples
from datasetgan.features.input_spec import InputSpec
from datasetgan.interpreter import Interpreter, StackedClassifiers
from datasetgan.interpreter.ensemble.ensemble import Ensemble
from datasetgan.project import Project, record_run
from datasetgan.report import page as page_module
from datasetgan.report.figures import Plot
from datasetgan.report.pictures import Picture
from datasetgan.serialization import sha256_of_file, to_plain, write_json
from datasetgan.taxonomy import ClassTaxonomy
from tests.conftest import build_tiny_generator

CLASSES = ["background", "red_cell", "cytoplasm", "nucleus", "platelet"]
VOID = {"meta", "img", "source", "br", "link", "input", "hr", "base", "embed", "wbr"}


@dataclass
class Page(HTMLParser):
    """An HTML page, read strictly: every tag is closed in turn."""

    source: str
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)  # by the id around them
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[tuple[str, str | None]] = []
        self.feed(self.source)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute stands twice: {attrs}"
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self._open.append((tag, attributes.get("id")))

    def handle_startendtag(self, tag, attrs):
        raise AssertionError(f"<{tag}/> is no HTML")

    def handle_endtag(self, tag):
        assert self._open, f"</{tag}> closes nothing"
        opened, _ = self._open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"

    def handle_data(self, data):
        if any(tag == "style" for tag, _ in self._open):
            return
        self.text += data
        for _, id_ in self._open:
            if id_ is not None:
                self.texts[id_] = self.texts.get(id_, "") + data

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every element of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]

    def says(self, text: str, *, section: str) -> bool:
        """Whether a section holds a text, white space aside."""
        return " ".join(text.split()) in " ".join(self.texts[section].split())


def read_page(path: Path) -> Page:
    return Page(path.read_text("utf-8"))


def build_tiny_segmenter(num_classes: int) -> nn.Module:
    layer = nn.Conv2d(3, num_classes, 1)
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=random))
        layer.bias.zero_()
    return layer


@pytest.fixture(autouse=True)
def tiny_segmenter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segmenters of the name "tiny" can be loaded."""
    monkeypatch.setitem(SEGMENTERS, "tiny", build_tiny_segmenter)


@pytest.fixture
def quick_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots are not drawn, which takes most of a page's time."""
    plot = Plot(*[Picture(b"plot", "image/png", 2, 2)] * 2, width=1, height=1)
    for name in ("plot_scores", "plot_shares", "plot_uncertainty"):
        monkeypatch.setattr(page_module, name, lambda *_, **__: plot)


def save_segmenter(project: Project, *, seed: int = 0) -> Segmenter:
    segmenter = Segmenter(
        project.taxonomy,
        SegmenterSettings(model="tiny", seed=seed),
        (32, 32),
        build_tiny_segmenter(len(CLASSES)).eval(),
    )
    segmenter.save(project.layout.segmenter, card=WeightCard(title="a segmenter", notes="<b>&"))
    return segmenter


def random_interpreter(project: Project, *, seed: int = 5) -> Interpreter:
    generator = project.load_generator()
    levels = generator.feature_levels
    classifiers = StackedClassifiers(3, sum(level.channels for level in levels), len(CLASSES))
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in sorted(classifiers.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.3)
    classifiers = classifiers.eval().requires_grad_(False)
    return Interpreter(project.taxonomy, Ensemble(InputSpec(levels), classifiers, generator.digest))


def _build(folder: Path) -> None:
    """Write two projects: one with a dataset only, one with everything."""
    checkpoint = folder / "tiny.safetensors"
    card = WeightCard(title="tiny", licence="CC0-1.0", attribution="https://example.org/a?b&c")
    save_generator(checkpoint, build_tiny_generator(), card=card)
    taxonomy = ClassTaxonomy.from_names(CLASSES)
    bare = Project.create(folder / "bare", name="bare", generator=checkpoint, taxonomy=taxonomy)
    generator, interpreter = bare.load_generator(), random_interpreter(bare)
    interpreter.save(bare.layout.interpreter, card=WeightCard(title="random"))
    settings = GenerationSettings(num_samples=30, batch=8, label_precision="float32")
    generate_samples(generator, interpreter, bare.layout.dataset("default"), settings=settings)

    shutil.copytree(bare.folder, folder / "cells")
    cells = Project.open(folder / "cells")
    maps = replace(settings, uncertainty="map")
    generate_samples(generator, interpreter, cells.layout.dataset("maps"), settings=maps)
    cells.add_samples(4)
    rows = np.random.RandomState(1).randint(0, 5, (32, 32)).astype(np.uint8)
    rows[:4] = 255
    for name in ("sample-0000", "sample-0001", "sample-0003"):
        path = folder / "masks" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rows).save(path)
    cells.import_labels(folder / "masks")
    _write_photos(folder / "real")
    manifest = sha256_of_file(cells.layout.dataset("default") / "manifest.json")
    with record_run(cells, "generate") as notes:
        notes.settings = to_plain(settings)
    with record_run(cells, "train") as notes:
        segmenter = save_segmenter(cells)
        notes.settings = {**to_plain(segmenter.settings), "drop_fraction": 0.2}
        notes.digests = {"manifest": manifest}
    with record_run(cells, "evaluate") as notes:
        evaluation = evaluate_segmenter(segmenter, photo_pairs(folder))
        write_json(cells.layout.evaluation, evaluation)
        notes.digests = {"segmenter": sha256_of_file(cells.layout.segmenter)}


def _write_photos(folder: Path) -> None:
    random = np.random.RandomState(2)
    for kind in ("photos", "masks"):
        (folder / kind).mkdir(parents=True)
    for name in ("a & b", "c", "d"):
        photo = random.randint(0, 256, (40, 48, 3)).astype(np.uint8)
        Image.fromarray(photo).save(folder / "photos" / f"{name}.png")
        # Class 4 is painted nowhere.
        mask = random.choice([0, 1, 2, 3, 255], (40, 48)).astype(np.uint8)
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")


def photo_pairs(folder: Path) -> tuple[PhotoPair, ...]:
    return find_pairs(folder / "real" / "photos", folder / "real" / "masks")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SEGMENTERS, "tiny", build_tiny_segmenter)
        _build(folder)
    return folder


@pytest.fixture
def bare(built: Path, tmp_path: Path) -> Project:
    """A project with a dataset and its interpreter only."""
    return Project.open(shutil.copytree(built / "bare", tmp_path / "bare"))


@pytest.fixture
def cells(built: Path, tmp_path: Path) -> Project:
    """A project with everything."""
    return Project.open(shutil.copytree(built / "cells", tmp_path / "cells"))


@pytest.fixture
def pairs(built: Path) -> tuple[PhotoPair, ...]:
    """The photos that the project was evaluated on."""
    return photo_pairs(built)
