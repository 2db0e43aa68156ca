"""A project folder: made whole or not at all, explained, and the same on any machine."""

import shutil
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from datasetgan import assets
from datasetgan.checkpoints.generator_files import save_generator
from datasetgan.checkpoints.native import WeightCard
from datasetgan.errors import CheckpointError, ProjectError, StorageError, UsageError
from datasetgan.generators import StyleGAN2, StyleGAN2Config
from datasetgan.project import Project, ProjectLayout, RunLayout, SamplingSettings
from datasetgan.taxonomy import ClassTaxonomy
from tests.project.conftest import files_of


def test_a_new_project_holds_the_generator_and_opens_as_it_was_made(
    project: Project, checkpoint: Path
) -> None:
    assert set(files_of(project.folder)) == {
        ".gitignore",
        "README.md",
        "generator.safetensors",
        "project.toml",
    }
    data = checkpoint.read_bytes()
    assert project.layout.generator.read_bytes() == data
    assert project.settings.generator_sha256 == sha256(data).hexdigest()
    assert Project.open(project.folder) == project
    assert project.samples == ()
    assert list(project.painted()) == []


def test_sampling_settings_are_kept(
    checkpoint: Path, taxonomy: ClassTaxonomy, tmp_path: Path
) -> None:
    sampling = SamplingSettings(truncation_psi=0.5, truncation_cutoff=3)
    Project.create(
        tmp_path / "p", name="p", generator=checkpoint, taxonomy=taxonomy, sampling=sampling
    )
    assert Project.open(tmp_path / "p").settings.sampling == sampling


def test_a_project_opens_from_another_place(sampled: Project, tmp_path: Path) -> None:
    moved = tmp_path / "on" / "another machine"
    shutil.copytree(sampled.folder, moved)
    shutil.rmtree(sampled.folder)
    shutil.rmtree(tmp_path / "elsewhere")
    project = Project.open(moved)
    assert all(check.matches for check in project.verify_samples(project.load_generator()))


def test_an_embedded_generator_is_named_not_copied(
    checkpoint: Path, taxonomy: ClassTaxonomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "embedded_generators", lambda: {"tiny": checkpoint})
    made = Project.create(tmp_path / "p", name="p", generator="tiny", taxonomy=taxonomy)
    assert made.settings.generator == "tiny"
    assert not made.layout.generator.exists()
    assert Project.open(tmp_path / "p").load_generator().digest == made.settings.generator_sha256
    monkeypatch.setattr(assets, "embedded_generators", dict)
    with pytest.raises(ProjectError, match=r"unknown embedded generator 'tiny'"):
        Project.open(tmp_path / "p")


def test_the_readme_documents_every_file(project: Project) -> None:
    text = project.layout.readme.read_text("utf-8")
    assert text.startswith("# cells\n")
    assert "`generator.safetensors`" in text
    layout = ProjectLayout(Path())
    named = vars(ProjectLayout) | vars(RunLayout)
    paths = [getattr(layout, name) for name, value in named.items()
             if isinstance(value, property)]  # fmt: skip
    paths += [layout.image("KEY"), layout.label("KEY"), layout.record("STAGE")]
    paths += [layout.dataset("NAME"), layout.run("NAME").folder]
    of_photos = {layout.encoder, layout.labelled}  # a project of photos has its own text
    for path in set(paths) - {layout.readme, layout.labels} - of_photos:
        assert f"| `{path.as_posix()}" in text, path


def test_git_keeps_what_people_made_and_ignores_what_commands_make(project: Project) -> None:
    layout = project.layout
    subprocess.run(["git", "init", "-q", str(project.folder)], check=True)
    derived = [
        layout.dataset("first") / "images" / "000000.png",
        layout.interpreter,
        layout.segmenter,
        layout.run("second").segmenter,
        layout.report,
        layout.labels / ".sample-0000.png.123.partial",
    ]
    kept = [
        layout.settings,
        layout.readme,
        layout.generator,
        layout.sample_index,
        layout.latents,
        layout.image("sample-0000"),
        layout.label("sample-0000"),
        layout.evaluation,
        layout.record("fit"),
        layout.run("second").evaluation,
    ]
    names = [str(path.relative_to(project.folder)) for path in derived + kept]
    result = subprocess.run(
        ["git", "-C", str(project.folder), "check-ignore", *names],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.split() == names[: len(derived)]


def test_a_folder_that_is_in_use_is_left_alone(
    checkpoint: Path, taxonomy: ClassTaxonomy, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(ProjectError, match=r"mine exists and is not empty .*thesis\.tex"):
        Project.create(folder, name="p", generator=checkpoint, taxonomy=taxonomy)
    assert files_of(folder) == {"thesis.tex": b"years of work"}
    with pytest.raises(ProjectError, match=r"thesis\.tex is a file"):
        Project.create(folder / "thesis.tex", name="p", generator=checkpoint, taxonomy=taxonomy)


def test_an_empty_folder_and_one_under_git_will_do(
    checkpoint: Path, taxonomy: ClassTaxonomy, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    (folder / ".git").mkdir(parents=True)
    Project.create(folder, name="p", generator=checkpoint, taxonomy=taxonomy)
    assert Project.open(folder).settings.name == "p"


@pytest.mark.parametrize("written", range(4))
def test_a_full_disk_leaves_nothing_behind(
    checkpoint: Path,
    taxonomy: ClassTaxonomy,
    tmp_path: Path,
    full_disk_after: Callable[[int], None],
    written: int,
) -> None:
    present = tmp_path / "present"
    (present / ".git").mkdir(parents=True)
    full_disk_after(written)
    with pytest.raises(StorageError, match=r"disk is full"):
        Project.create(tmp_path / "new" / "deep", name="p", generator=checkpoint, taxonomy=taxonomy)
    assert not (tmp_path / "new").exists()
    full_disk_after(written)
    with pytest.raises(StorageError, match=r"disk is full"):
        Project.create(present, name="p", generator=checkpoint, taxonomy=taxonomy)
    assert [path.name for path in present.iterdir()] == [".git"]


def test_a_generator_that_does_not_work_is_refused_at_once(
    checkpoint: Path, taxonomy: ClassTaxonomy, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(checkpoint.read_bytes()[:-100])
    for generator, message in [(cut, r"cut\.safetensors is truncated"), ("cow", r"'cow'")]:
        with pytest.raises(CheckpointError, match=message):
            Project.create(tmp_path / "p", name="p", generator=generator, taxonomy=taxonomy)
    assert not (tmp_path / "p").exists()


def test_a_class_conditional_generator_is_refused(taxonomy: ClassTaxonomy, tmp_path: Path) -> None:
    config = StyleGAN2Config(
        resolution=8, z_dim=4, w_dim=4, label_dim=3, mapping_layers=1, channel_base=32
    )
    path = tmp_path / "conditional.safetensors"
    save_generator(path, StyleGAN2(config), card=WeightCard(title="test"))
    with pytest.raises(UsageError, match=r"class-conditional \(3 labels\)"):
        Project.create(tmp_path / "p", name="p", generator=path, taxonomy=taxonomy)
    assert not (tmp_path / "p").exists()


def test_a_folder_without_settings_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"datasetgan new .*nowhere"):
        Project.open(tmp_path / "nowhere")


def test_another_or_a_missing_generator_is_noticed(project: Project) -> None:
    with project.layout.generator.open("ab") as file:
        file.write(b"x")
    with pytest.raises(ProjectError, match=r"generator\.safetensors is another generator"):
        Project.open(project.folder)
    project.layout.generator.unlink()
    with pytest.raises(ProjectError, match=r"generator\.safetensors is missing"):
        Project.open(project.folder)
