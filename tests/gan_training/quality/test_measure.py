"""Feature networks, and the scores of generators over them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.signal import correlate2d
from torch import Tensor, nn

from datasetgan.encoders.pictures import to_float
from datasetgan.encoders.self_supervised import draw_views, nt_xent_loss, train_encoder
from datasetgan.errors import UsageError
from datasetgan.gan_training.quality import (
    FeatureNetwork,
    RealFeatures,
    SelfSupervision,
    build_feature_network,
    extract_features,
    frechet_distance,
    kernel_inception_distance,
    measure_quality,
    read_real_features,
    sample_pictures,
)
from datasetgan.gan_training.quality.measure import draw_class_labels
from datasetgan.gan_training.quality.picture_batches import picture_batches
from datasetgan.gan_training.quality.random_network import RandomNetwork
from datasetgan.generators import StyleGAN2, StyleGAN2Config
from datasetgan.runtime import Runtime, random_state

SHORT = SelfSupervision(steps=3, batch=16)


def photographs(count: int = 40, size: int = 16, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth random pictures, each of its own colours."""
    random = np.random.RandomState(seed)
    coarse = random.randint(0, 256, (count, 4, 4, 3))
    return coarse.repeat(size // 4, axis=1).repeat(size // 4, axis=2).astype(np.uint8)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Feature networks.


def test_random_features_written_out() -> None:
    images = photographs(2, size=8)
    found = RandomNetwork(8, seed=5)(to_float(images))
    for picture, row in zip(images, found, strict=True):
        planes = picture.astype(np.float64).transpose(2, 0, 1) / 127.5 - 1
        expected: list[float] = []
        for scale in (1, 2):
            x = _halved(planes) if scale == 2 else planes
            for layer, (width, kernel) in enumerate([(24, 5), (56, 3)]):
                random = random_state(5, 16, scale, layer)
                fan_in = len(x) * kernel**2
                weight = random.standard_normal((width, len(x), kernel, kernel))
                weight *= np.sqrt(2 / fan_in)
                bias = random.standard_normal(width) / 4
                x = np.pad(x, ((0, 0), (kernel // 2,) * 2, (kernel // 2,) * 2), mode="edge")
                x = np.stack(
                    [
                        sum(correlate2d(p, f, "valid") for p, f in zip(x, w, strict=True)) + b
                        for w, b in zip(weight, bias, strict=True)
                    ]
                ).clip(0)
                expected += [*x.mean(axis=(1, 2)), *x.std(axis=(1, 2))]
                x = _halved(x)
        np.testing.assert_allclose(row.numpy(), expected, atol=1e-5)


def _halved(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([(p[::2] + p[1::2])[:, ::2] + (p[::2] + p[1::2])[:, 1::2] for p in planes]) / 4


@pytest.mark.parametrize("resolution", [4, 8, 64, 256])
@pytest.mark.parametrize("name", ["random", "self-supervised"])
def test_every_resolution_gives_few_finite_features(name: str, resolution: int) -> None:
    images = photographs(6, size=resolution)
    network = build_feature_network(name, images, runtime=Runtime(), supervision=SHORT)
    features = extract_features(network, picture_batches(images, batch=4))
    assert features.dtype == torch.float32
    assert features.shape[0] == 6
    assert 64 <= features.shape[1] <= 512


@pytest.mark.parametrize("name", ["random", "self-supervised"])
def test_features_are_standardised_reproducible_and_alone_in_a_batch(
    name: str, tmp_path: Path
) -> None:
    images = photographs()
    np.save(tmp_path / "photos.npy", images)
    mapped = np.load(tmp_path / "photos.npy", mmap_mode="r")
    before = torch.get_rng_state()
    found = []
    for seed, batch in ((0, 40), (0, 1), (1, 40)):
        with torch.inference_mode():
            network = build_feature_network(
                name, mapped, runtime=Runtime(), seed=seed, supervision=SHORT
            )
        assert name.split("-")[0] in network.description
        found.append(extract_features(network, picture_batches(mapped, batch=batch)))
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(found[0], found[2], atol=0.1)
    assert found[0].abs().max() <= 3
    plain = 3 * torch.atanh(found[0].double() / 3)  # before the limit
    zeros = torch.zeros(plain.shape[1], dtype=torch.float64)
    torch.testing.assert_close(plain.mean(0), zeros, rtol=0, atol=1e-3)
    deviation = plain.std(0, unbiased=False)
    # A rectified channel may be silent on all photographs.
    assert ((deviation - 1).abs() < 1e-2).float().mean() > 0.8
    assert ((deviation - 1).abs() < 1e-2).logical_or(deviation < 1e-3).all()


def test_nt_xent_written_out() -> None:
    first, second = normal(3, 4), normal(3, 4, seed=1)
    views = torch.cat([first, second]).numpy()
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    terms = []
    for i in range(6):
        others = {k: np.exp(views[i] @ views[k] / 0.3) for k in range(6) if k != i}
        terms.append(-np.log(others[(i + 3) % 6] / sum(others.values())))
    found = nt_xent_loss(first, second, temperature=0.3)
    np.testing.assert_allclose(found.item(), np.mean(terms), rtol=1e-12)


def test_views_lie_within_the_picture_and_vary() -> None:
    ramp = torch.linspace(-1, 1, 16).expand(64, 3, 16, 16)
    views = draw_views(ramp, generator=torch.Generator().manual_seed(0))
    assert views.shape == ramp.shape
    slopes = (views[..., -1] - views[..., 0]).mean(dim=(1, 2))
    assert 0.3 < (slopes > 0).float().mean() < 0.7  # some are mirrored
    assert slopes.abs().max() < 2 * 1.4 + 1e-5
    assert views.std(dim=2).max() < 1e-5  # none is turned
    again = draw_views(ramp, generator=torch.Generator().manual_seed(0))
    assert torch.equal(views, again)


def test_self_supervision_learns_to_recognise_a_photograph() -> None:
    images = photographs(64)
    random = torch.Generator().manual_seed(7)
    first, second = (draw_views(to_float(images), generator=random) for _ in range(2))

    def recognised(steps: int) -> float:
        settings = SelfSupervision(steps=steps, batch=64, learning_rate=0.003)
        encoder = train_encoder(images, settings=settings, seed=0, device=torch.device("cpu"))
        assert not encoder.training
        a, b = (nn.functional.normalize(encoder(v)[:, -256:], dim=1) for v in (first, second))
        return ((a @ b.T).argmax(dim=1) == torch.arange(64)).float().mean().item()

    assert recognised(40) > recognised(1) + 0.2


@pytest.mark.parametrize(
    "changes", [{"steps": 0}, {"batch": 1}, {"learning_rate": 0.0}, {"temperature": -1.0}]
)
def test_bad_supervision_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="self-supervision needs"):
        SelfSupervision(**changes)  # type: ignore[arg-type]


OWN = """
import torch
class Flat(torch.nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3))
class Bad(torch.nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
    def forward(self, x):
        if self.kind == "error":
            raise ValueError("only 224 pixels")
        return {"dict": {}, "image": x, "whole": x.mean(dim=(2, 3)).long(),
                "nan": x.mean(dim=(2, 3)) / 0}[self.kind]
flat = Flat
text = lambda: "no network"
def broken(): raise RuntimeError("no weights")
error, image, whole, nan, dictionary = (
    (lambda k=k: Bad(k)) for k in ("error", "image", "whole", "nan", "dict"))
"""


@pytest.fixture
def _own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_features.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("_own_module")
def test_the_users_own_network() -> None:
    images = photographs(5)
    network = build_feature_network("own_features:flat", images, runtime=Runtime())
    found = extract_features(network, picture_batches(images, batch=2))
    np.testing.assert_allclose(found.numpy(), images.mean(axis=(1, 2)) / 127.5 - 1, atol=1e-5)
    assert "own_features:flat" in network.description


@pytest.mark.usefixtures("_own_module")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere_at_all:flat", "cannot be imported.*PYTHONPATH"),
        (":flat", "cannot be imported"),
        ("own_features:none", "has no 'none'"),
        ("own_features:text", "returns a torch.nn.Module, got str"),
        ("own_features:broken", "it failed: RuntimeError: no weights"),
        ("own_features:error", "failed at .*only 224 pixels"),
        ("own_features:image", r"got torch.float32 \[2, 3, 16, 16\]"),
        ("own_features:whole", r"got torch.int64 \[2, 3\]"),
        ("own_features:nan", "got values that are not finite"),
        ("own_features:dictionary", "got dict"),
        ("randon", "Did you mean 'random'"),
    ],
)
def test_networks_that_will_not_do(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_feature_network(name, photographs(3), runtime=Runtime())


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((3, 8, 8, 3)),
        np.zeros((3, 8, 9, 3), np.uint8),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
    ],
)
def test_misshapen_photographs_are_refused(images: NDArray[np.uint8]) -> None:
    with pytest.raises(UsageError, match=r"photographs must be uint8 \[N, R, R, 3\]"):
        build_feature_network("random", images, runtime=Runtime())


def test_features_that_are_not_finite_are_refused() -> None:
    network = FeatureNetwork(nn.Flatten(), "own", "own", torch.device("cpu"))
    with pytest.raises(UsageError, match="not finite"):
        extract_features(network, [torch.full((1, 3, 2, 2), torch.nan)])
    with pytest.raises(UsageError, match="at least one batch"):
        extract_features(network, [])


def test_one_odd_picture_does_not_rule_the_kernel() -> None:
    images = photographs(64)
    network = build_feature_network("random", images // 4 + 96, runtime=Runtime())
    real = extract_features(network, picture_batches(images // 4 + 96, batch=64))
    odd = real.clone()
    checks = (np.indices((16, 16)).sum(axis=0) % 2 * 255).astype(np.uint8)
    glaring = np.repeat(checks[..., None], 3, axis=2)[None]
    odd[0] = extract_features(network, [to_float(glaring)])
    with_it, without = (kernel_inception_distance(real, x, num_subsets=1) for x in (odd, real))
    assert 0 < with_it.mean - without.mean < 0.1


# Scores of generators.


class _Colours(nn.Module):
    """Mean and deviation of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean(dim=(2, 3)), x.std(dim=(2, 3))], dim=1)


COLOURS = FeatureNetwork(_Colours(), "colours", "colour statistics", torch.device("cpu"))


def test_scores_tell_good_pictures_from_bad(tiny_generator: StyleGAN2) -> None:
    own = np.concatenate(list(sample_pictures(tiny_generator, 96, seed=1000)))
    good = measure_quality(
        tiny_generator, read_real_features(own, network=COLOURS), num_samples=96, batch=40
    )
    bad = measure_quality(
        tiny_generator, read_real_features(own // 2, network=COLOURS), num_samples=96
    )
    assert abs(good.kid) < 0.01 < bad.kid
    assert good.fid < 0.1 * bad.fid
    assert (good.num_real, good.num_samples, good.features) == (96, 96, "colour statistics")


def test_scores_are_the_distances_of_the_features(tiny_generator: StyleGAN2) -> None:
    images = photographs(50, size=32)
    real = read_real_features(images, network=COLOURS, batch=7)
    scored = [
        measure_quality(tiny_generator, real, num_samples=20, batch=batch, seed=4)
        for batch in (20, 6)
    ]
    pictures = np.concatenate(list(sample_pictures(tiny_generator, 20, seed=4)))
    fake = extract_features(COLOURS, [to_float(pictures)])
    for found in scored:
        np.testing.assert_allclose(found.fid, frechet_distance(real.values, fake), rtol=1e-3)
        kid = kernel_inception_distance(real.values, fake, seed=4)
        np.testing.assert_allclose(
            [found.kid, found.kid_deviation], [kid.mean, kid.deviation], 0.01
        )


def test_more_photographs_than_the_limit_are_a_seeded_sample() -> None:
    images = photographs(30)
    real = read_real_features(images, network=COLOURS, limit=10, seed=1)
    assert isinstance(real, RealFeatures)
    assert len(set(real.rows.tolist())) == 10
    assert (np.diff(real.rows) > 0).all()
    expected = extract_features(COLOURS, [to_float(images[real.rows])])
    torch.testing.assert_close(real.values, expected)
    other = read_real_features(images, network=COLOURS, limit=10, seed=2)
    assert other.rows.tolist() != real.rows.tolist()


def conditional_generator() -> StyleGAN2:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return StyleGAN2(
            StyleGAN2Config(
                resolution=8, z_dim=4, w_dim=4, label_dim=3, channel_base=64, channel_max=8
            )
        ).place(Runtime())


def test_class_labels_follow_the_frequencies() -> None:
    labels = draw_class_labels([30, 0, 90], 2000, seed=0)
    assert labels.shape == (2000, 3)
    assert torch.equal(labels.sum(dim=1), torch.ones(2000))
    np.testing.assert_allclose(labels.mean(dim=0).numpy(), [0.25, 0, 0.75], atol=0.03)


def test_a_class_conditional_generator_is_scored() -> None:
    generator = conditional_generator()
    pictures = [
        np.concatenate(list(sample_pictures(generator, 6, class_probabilities=p, batch=4)))
        for p in ([1, 0, 0], [0, 0, 1])
    ]
    assert (pictures[0] != pictures[1]).any()
    real = read_real_features(pictures[0], network=COLOURS)
    found = measure_quality(generator, real, num_samples=6, class_probabilities=[1, 0, 0])
    assert found.fid < 1e-6


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (None, "has 3 classes, got 0"),
        ([1.0], "has 3 classes, got 1"),
        ([1.0, -1.0, 1.0], "0 or more"),
        ([0.0, 0.0, 0.0], "one above 0"),
        ([np.nan, 1.0, 1.0], "finite"),
    ],
)
def test_bad_class_probabilities(probabilities: list[float] | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(sample_pictures(conditional_generator(), 4, class_probabilities=probabilities))


def test_bad_numbers_are_refused(tiny_generator: StyleGAN2) -> None:
    with pytest.raises(UsageError, match="has 0 classes, got 1"):
        list(sample_pictures(tiny_generator, 4, class_probabilities=[1.0]))
    for count, batch in ((0, 4), (4, 0)):
        with pytest.raises(UsageError, match=f"got {count} and {batch}"):
            list(sample_pictures(tiny_generator, count, batch=batch))
    with pytest.raises(UsageError, match="limit 1"):
        read_real_features(photographs(4), network=COLOURS, limit=1)
    with pytest.raises(UsageError, match="at least 1 picture"):
        read_real_features(photographs(4), network=COLOURS, batch=0)
