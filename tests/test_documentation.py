"""What the documents say: their code runs, their links lead somewhere, their commands exist."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.main import get_command

from datasetgan.cli.main import app
from datasetgan.generators import StyleGAN2, StyleGAN2Config
from datasetgan.interpreter import load_interpreter
from datasetgan.interpreter.ensemble.classifier import PixelClassifier

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.rglob("assets/CARD.md")])


def python_blocks(path: Path) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), re.DOTALL))


def test_the_readmes_tour_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(python_blocks(ROOT / "README.md"), "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "torch.Size([3, 3, 64, 64])" in out
    score = re.search(r"mean IoU (\d\.\d\d)", out)
    assert score is not None
    # Guessing gives about 0.1; even this short a training is well beyond it.
    assert float(score[1]) > 0.2


def test_the_checkpoint_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    generator = StyleGAN2(StyleGAN2Config(resolution=32, channel_base=512, channel_max=32))
    save_file(generator.state_dict(), "g_ema.safetensors")
    channels = sum(level.channels for level in generator.feature_levels)
    Path("exp_dir").mkdir()
    for i in range(2):
        state = PixelClassifier(channels, 3, member=i).state_dict()
        saved = {"model_state_dict": {f"module.{name}": t for name, t in state.items()}}
        torch.save(saved, f"exp_dir/model_{i}.pth")
    namespace: dict[str, object] = {}
    example = python_blocks(ROOT / "docs" / "checkpoints.md")
    exec(compile(example, "checkpoints.md", "exec"), namespace)
    assert isinstance(namespace["generator"], StyleGAN2)
    loaded = load_interpreter(Path("interpreter.safetensors"))
    assert loaded.ensemble.members.num_members == 2


def test_the_training_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.RandomState(0)
    (tmp_path / "photos").mkdir()
    for i in range(100):
        pixels = random.randint(0, 256, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i}.png")
    exec(compile(python_blocks(ROOT / "docs" / "training.md"), "training.md", "exec"), {})
    assert (tmp_path / "cells.safetensors").is_file()


def test_the_photo_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(python_blocks(ROOT / "docs" / "photos.md"), "photos.md", "exec"), {})
    assert "4 photos labelled" in capsys.readouterr().out
    assert len(list((tmp_path / "photos-of-cells" / "labelled").glob("*.png"))) == 4


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text("utf-8")):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_command_of_the_readme_exists_and_every_command_is_named() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    commands = get_command(app).commands  # type: ignore[attr-defined]
    named = set(re.findall(r"^datasetgan ([a-z-]+)", text, re.MULTILINE))
    assert named | {"demo"} == set(commands)
    for line in re.findall(r"^datasetgan .*$", text, re.MULTILINE):
        words = line.split("#")[0].split()
        options = {o for p in commands[words[1]].params for o in p.opts}
        assert {w for w in words if re.fullmatch(r"--?[a-z-]+", w)} <= options, line
