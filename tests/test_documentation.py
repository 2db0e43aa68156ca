"""What the documents say: their code runs, their links lead somewhere, their commands exist."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.main import get_command

from datasetgan.cli.main import app
from datasetgan.generators import StyleGAN2, StyleGAN2Config

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
    save_file(StyleGAN2(StyleGAN2Config(resolution=256)).state_dict(), "g_ema.safetensors")
    namespace: dict[str, object] = {}
    example = python_blocks(ROOT / "docs" / "checkpoints.md")
    exec(compile(example, "checkpoints.md", "exec"), namespace)
    assert isinstance(namespace["generator"], StyleGAN2)


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
