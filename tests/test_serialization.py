"""Settings files: strict reading, and files that appear whole or not at all."""

import errno
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasetgan.errors import ConfigError, StorageError
from datasetgan.serialization import (
    atomic_file,
    from_plain,
    read_json,
    read_toml,
    sha256_of_file,
    to_plain,
    write_json,
    write_toml,
)
from datasetgan.taxonomy import ClassTaxonomy


@dataclass(frozen=True)
class Inner:
    count: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outer:
    inner: Inner
    many: tuple[Inner, ...] = ()
    share: float = 0.5
    note: str | None = None
    table: dict[str, float] = field(default_factory=dict)


inners = st.builds(Inner, st.integers(-(2**53), 2**53), st.lists(st.text(max_size=5)).map(tuple))
outers = st.builds(
    Outer,
    inners,
    st.lists(inners, max_size=3).map(tuple),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.text(max_size=5),
    st.dictionaries(st.text(max_size=5), st.floats(-1, 1)),
)


@given(outers)
def test_plain_round_trip(value: Outer) -> None:
    assert from_plain(Outer, to_plain(value), source="test") == value


def test_files_round_trip(tmp_path: Path, taxonomy: ClassTaxonomy) -> None:
    write_toml(tmp_path / "a.toml", taxonomy)
    assert read_toml(tmp_path / "a.toml", ClassTaxonomy) == taxonomy
    write_json(tmp_path / "a.json", taxonomy)
    assert read_json(tmp_path / "a.json", ClassTaxonomy) == taxonomy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inner = {count = 1}\nshraed = 1", r"unknown key 'shraed'.*Did you mean 'share'"),
        ("inner = {count = 1, counts = 2}", r"inner\.counts: unknown key.*Valid: count, names"),
        ("inner = {count = 1}\nmany = [{count = 1, x = 1}]", r"many\.0\.x: unknown key"),
        ("inner = {count = '1'}", r"inner\.count: .*valid integer.*got '1'"),
        ("share = 1.0", "inner: .*required"),
        ("inner = ", "not valid TOML"),
    ],
)
def test_bad_settings_name_file_key_and_remedy(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_toml(path, Outer)
    assert str(path) in str(caught.value)


def test_a_dataclass_may_refuse_its_values() -> None:
    plain = {"classes": [{"id": 0, "name": "a", "color": [0, 0, 0]}]}
    with pytest.raises(ConfigError, match="here: a taxonomy needs"):
        from_plain(ClassTaxonomy, plain, source="here")


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_toml(tmp_path / "none.toml", Inner)
    (tmp_path / "bad.json").write_bytes(b"\xff{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        read_json(tmp_path / "bad.json", Inner)


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with atomic_file(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_has_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the disk is full"), atomic_file(tmp_path / "file"):
        raise OSError(errno.ENOSPC, "no space")
    assert not list(tmp_path.iterdir())


def test_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of_file(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")
