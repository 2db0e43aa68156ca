"""Settings as text: commented out at their defaults, and set one by one."""

import re
import tomllib
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest

from datasetgan.downstream import KeypointNetworkSettings, NetworkTraining, SegmenterSettings
from datasetgan.errors import UsageError
from datasetgan.factory import GenerationSettings
from datasetgan.gan_training import TrainingSettings
from datasetgan.interpreter import FitSettings
from datasetgan.interpreter.keypoints import KeypointSettings
from datasetgan.serialization import from_plain, to_plain
from datasetgan.settings import commented_defaults, parse_assignments, setting_types

STAGES: list[type[Any]] = [
    FitSettings,
    GenerationSettings,
    SegmenterSettings,
    KeypointSettings,
    KeypointNetworkSettings,
    TrainingSettings,
]


def uncommented(text: str) -> dict[str, Any]:
    """Take the # away wherever nothing but a setting follows it."""
    return tomllib.loads(re.sub(r"^#(?! )", "", text, flags=re.MULTILINE))


def names_of(data: dict[str, Any], prefix: str = "") -> set[str]:
    nested = [names_of(v, f"{prefix}{k}.") for k, v in data.items() if isinstance(v, dict)]
    return {f"{prefix}{k}" for k, v in data.items() if not isinstance(v, dict)}.union(*nested)


@pytest.mark.parametrize("cls", STAGES)
def test_every_setting_is_written_at_its_default_and_explained(cls: type[Any]) -> None:
    text = commented_defaults(cls())
    assert tomllib.loads(text) == {}
    data = uncommented(text)
    assert from_plain(cls, data, source="test") == cls()
    left_out = set(re.findall(r"^# ([\w.]+) \(left out\):", text, re.MULTILINE))
    assert names_of(data) | left_out == set(setting_types(cls))
    assert names_of(data) == names_of(to_plain(cls()))
    assert max(map(len, text.splitlines())) <= 100
    for name in setting_types(cls):
        explanation = re.search(
            rf"^# {re.escape(name)}(?: \(left out\))?: (.+)", text, re.MULTILINE
        )
        assert explanation, name
        assert explanation[1] != f"{name.rsplit('.', 1)[-1]}.", f"{name} is not explained"


@pytest.mark.parametrize("cls", STAGES)
def test_every_line_alone_means_the_default(cls: type[Any]) -> None:
    for line in commented_defaults(cls()).splitlines():
        if not line.startswith("# "):
            (name,) = names_of(tomllib.loads(line[1:]))
            assert parse_assignments([line[1:]], {"x": cls}) == {"x": tomllib.loads(line[1:])}, name


@dataclass(frozen=True)
class Base:
    """What any has.

    Attributes:
        kind: which one. The best is "long".
        limit: of the ``kind`` (Smith et al. 2019, app. B), with 3 of 4.5 taken
            into a second line. Not this.

    Raises:
        UsageError: never.
    """

    kind: Literal["short", "long"] = "long"
    limit: float | None = None


@dataclass(frozen=True)
class Inner(Base):
    """One more.

    Attributes:
        pair: two.
    """

    pair: tuple[int, float] = (1, 0.5)


@dataclass(frozen=True)
class Outer:
    """All.

    Attributes:
        name: a text.
        inner: the rest.
    """

    name: str = 'a "b"'
    inner: Inner = field(default_factory=lambda: Inner(kind="short"))


def test_explanations_come_from_the_class_that_has_the_setting() -> None:
    assert commented_defaults(Outer()) == (
        "# name: a text.\n"
        "#name = 'a \"b\"'\n"
        '# inner.kind: which one ("short", "long").\n'
        '#inner.kind = "short"\n'
        "# inner.limit (left out): of the kind (Smith et al. 2019, app. B), with 3 of 4.5 taken "
        "into a\n"
        "# second line.\n"
        "# inner.pair: two.\n"
        "#inner.pair = [1, 0.5]\n"
    ).replace("'a \"b\"'", '"a \\"b\\""')
    set_one = replace(Outer(), inner=Inner(limit=3.0))
    assert "#inner.limit = 3.0\n" in commented_defaults(set_one, given=["name"])
    assert "name" not in commented_defaults(set_one, given=["name"]).split()


TABLES = {"train": SegmenterSettings, "keypoints.train": KeypointNetworkSettings}


def test_assignments_become_typed_values() -> None:
    texts = [
        "steps=20",
        "train.steps = 30",
        "augmentation.scale=[0.8, 1.2]",
        "augmentation.hue=0",
        "schedule=constant",
        'train.model="unet_resnet18"',
        "image_size=[64, 32]",
        "keypoints.train.training.augmentation.orientation=any",
        "keypoints.train.sigma_share=0.04",
    ]
    values = parse_assignments(texts, TABLES)
    assert values == {
        "train": {
            "steps": 30,
            "augmentation": {"scale": [0.8, 1.2], "hue": 0},
            "schedule": "constant",
            "model": "unet_resnet18",
            "image_size": [64, 32],
        },
        "keypoints.train": {
            "training": {"augmentation": {"orientation": "any"}},
            "sigma_share": 0.04,
        },
    }
    settings = from_plain(SegmenterSettings, values["train"], source="test")
    assert (settings.steps, settings.image_size) == (30, (64, 32))
    assert settings.augmentation.scale == (0.8, 1.2)
    assert parse_assignments([], TABLES) == {"train": {}, "keypoints.train": {}}


def test_a_text_may_look_like_another_type() -> None:
    for value in ("7", "true", "2024-01-01", "[1", "a = b", "x\ny = 1"):
        assert parse_assignments([f"name={value}"], {"t": Outer}) == {"t": {"name": value}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps", r"--set takes NAME=VALUE, got 'steps'\. Names: train\.model, "),
        (
            "stepps=3",
            r"setting 'train\.stepps'\. Did you mean 'train\.steps'\? Valid: train",
        ),
        ("fit.seed=3", r"unknown setting 'train\.fit\.seed'"),
        ("augmentation=3", r"unknown setting 'train\.augmentation'.*train\.augmentation\.scale"),
        ("steps=many", r"--set steps=many: Input should be a valid integer"),
        ("steps=2.5", r"--set steps=2\.5: .*integer"),
        ("steps=", r"--set steps=: .*integer"),
        ("schedule=linear", r"--set schedule=linear: .*'cosine' or 'constant'"),
    ],
)
def test_a_wrong_assignment_is_named(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_assignments([text], TABLES)


def test_the_training_of_both_networks_is_one_value() -> None:
    shared = set(setting_types(NetworkTraining))
    assert set(setting_types(SegmenterSettings)) == shared
    nested = {n for n in setting_types(KeypointNetworkSettings) if n.startswith("training.")}
    assert nested == {f"training.{name}" for name in shared}
