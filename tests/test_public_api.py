"""The public names: present, documented, and cheap to import."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import datasetgan

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", datasetgan.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(datasetgan, name)
    if callable(value):
        assert (value.__doc__ or "").strip()
    assert name in dir(datasetgan)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        datasetgan.nothing  # noqa: B018


def test_importing_loads_neither_torch_nor_torchvision() -> None:
    code = (
        "import sys, datasetgan, datasetgan.cli.main;"
        "heavy = {'torch', 'torchvision', 'numpy', 'pydantic', 'matplotlib'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_core_does_without_torchvision() -> None:
    code = (
        "import sys; sys.modules['torchvision'] = None;"
        "import datasetgan.interpreter, datasetgan.factory, datasetgan.project"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_versions_agree() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f'version = "{datasetgan.__version__}"' in pyproject
    assert re.search(rf"^version: {re.escape(datasetgan.__version__)}$", citation, re.MULTILINE)
