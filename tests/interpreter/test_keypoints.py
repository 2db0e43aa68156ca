"""Keypoint interpreters: which pixels they are fitted on, what they find, their files."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasetgan.checkpoints.native import (
    WeightCard,
    content_digest,
    read_checkpoint,
    write_checkpoint,
)
from datasetgan.dataset import Keypoints, KeypointSchema
from datasetgan.errors import CheckpointError, LabelError, TrainingError, UsageError
from datasetgan.features import FeatureLevel, FeaturePyramid, InputSpec
from datasetgan.features.reading import sample_pixel_features
from datasetgan.interpreter.fitting.choose_inputs import FALLOFFS
from datasetgan.interpreter.keypoints import (
    AnnotatedSample,
    KeypointInterpreter,
    KeypointSettings,
    KeypointValidation,
    cache_annotated,
    fit_keypoint_interpreter,
    load_keypoint_interpreter,
    validate_keypoints,
)
from datasetgan.interpreter.keypoints.fit import KeypointFolds, select_heat_pixels
from datasetgan.interpreter.keypoints.predict import KeypointConfig
from datasetgan.keypoints.heat_maps import find_maxima, gaussian_heat_maps
from datasetgan.serialization import from_plain, to_plain

CARD = WeightCard(title="a test", licence="CC0-1.0")
SCHEMA = KeypointSchema(("red", "blue"))
QUICK = KeypointSettings(
    num_members=3, learning_rate=5e-3, batch=128, steps=150, sigma_share=0.06, pixels_per_image=400
)
LEVELS = (FeatureLevel("b8", 3, 8, 8, 0), FeatureLevel("b24", 4, 28, 28, 2))


def annotated(seed, *, hidden=()):
    """Bumps of two kinds at random places; what is not visible is not drawn."""
    random = np.random.RandomState(seed)
    points = random.uniform(4, 20, (2, 2))
    visible = np.array([j not in hidden for j in range(2)])
    keypoints = Keypoints(points, visible)
    bumps = gaussian_heat_maps(keypoints, size=(24, 24), sigma=2.5)
    noise = torch.from_numpy(random.normal(0, 0.05, (4, 28, 28))).float()
    noise[:2, 2:-2, 2:-2] += bumps
    coarse = torch.from_numpy(random.normal(0, 1, (3, 8, 8))).float()
    features = FeaturePyramid(LEVELS, (coarse[None], noise[None]))
    return AnnotatedSample(features, keypoints, key=f"sample-{seed:04d}")


@pytest.fixture(scope="module")
def fitted():
    samples = (annotated(seed, hidden={1} if seed == 5 else ()) for seed in range(6))
    return fit_keypoint_interpreter(samples, SCHEMA, settings=QUICK, generator_digest="b" * 64)


def batch(*samples):
    pyramids = [s.features for s in samples]
    stacked = [torch.cat(level) for level in zip(*(p.tensors for p in pyramids), strict=True)]
    return FeaturePyramid(LEVELS, tuple(stacked))


def test_it_finds_new_points(fitted):
    samples = [annotated(seed) for seed in range(100, 106)]
    found = fitted.predict(batch(*samples))
    truth = np.stack([s.keypoints.points for s in samples])
    assert np.linalg.norm(found.points.numpy() - truth, axis=2).mean() < 0.7
    assert found.visible.all()
    assert found.scores.dtype == found.spread.dtype == torch.float32
    assert (found.spread < 2).all()
    assert found.keypoints(2).points.shape == (2, 2)


def test_what_is_not_there_is_not_visible(fitted):
    shown = fitted.predict(annotated(200).features)
    hidden = fitted.predict(annotated(200, hidden={0, 1}).features)
    assert (hidden.scores < 0.5 * shown.scores).all()
    strict = replace(fitted, threshold=float(hidden.scores.max()) + 0.01)
    assert not strict.predict(annotated(200, hidden={0, 1}).features).visible.any()
    assert strict.predict(annotated(200).features).visible.all()


def test_prediction_against_the_whole_stack(fitted):
    """Every pixel's feature vector through the members one layer after another."""
    sample = annotated(7)
    for size in ((24, 24), (70, 90), (9, 13)):
        rows, columns = np.mgrid[: size[0], : size[1]]
        grid = torch.from_numpy(np.stack([rows.ravel(), columns.ravel()], axis=1))
        read = fitted.ensemble.inputs.tensors(sample.features, source="x")
        vectors = sample_pixel_features(FeaturePyramid.from_tensors(list(read)), grid, size=size)
        with torch.no_grad():
            outputs = fitted.ensemble.members(vectors).view(3, *size, 2)
        heat = outputs.permute(0, 3, 1, 2)  # [M, J, H, W]
        points, scores, _ = find_maxima(heat.mean(dim=0, keepdim=True), threshold=0.05)
        own, _, _ = find_maxima(heat, threshold=0.05)
        spread = (own - points).square().sum(dim=2).mean(dim=0).sqrt()
        found = fitted.predict(sample.features, size=size)
        torch.testing.assert_close(found.points, points, rtol=0, atol=2e-3)
        torch.testing.assert_close(found.scores, scores, rtol=0, atol=1e-5)
        # At a tile's border a member's maximum is placed from one side.
        torch.testing.assert_close(found.spread[0].double(), spread, rtol=0, atol=0.5)
    assert torch.equal(fitted.predict(sample.features, size=(24, 24)).points, _at_default(fitted))


def _at_default(fitted):
    return fitted.predict(annotated(7).features).points


def test_neighbours_in_the_batch_change_nothing(fitted):
    samples = [annotated(seed) for seed in (1, 2, 3)]
    together = fitted.predict(batch(*samples))
    for n, sample in enumerate(samples):
        alone = fitted.predict(sample.features)
        assert torch.equal(alone.points[0], together.points[n])
        assert torch.equal(alone.spread[0], together.spread[n])


def test_the_report(fitted):
    report = fitted.report
    assert (report.images, report.steps, report.points) == (6, 150, (6, 5))
    assert 0 < report.pixels <= 6 * 400
    assert report.final_loss < 0.05
    assert report.unseen(SCHEMA) == ()
    assert replace(report, points=(6, 0)).unseen(SCHEMA) == ("blue",)


def test_the_arguments_alone_decide():
    samples = [annotated(seed) for seed in range(2)]
    quick = replace(QUICK, steps=5)
    torch.manual_seed(1)
    first = fit_keypoint_interpreter(samples, SCHEMA, settings=quick)
    torch.manual_seed(2)
    with torch.inference_mode():
        assert fit_keypoint_interpreter(samples, SCHEMA, settings=quick).digest == first.digest
    other = fit_keypoint_interpreter(samples, SCHEMA, settings=replace(quick, seed=1))
    assert other.digest != first.digest


def test_points_may_be_given_in_another_size():
    samples = [annotated(seed) for seed in range(4)]
    larger = [
        replace(s, keypoints=s.keypoints.resized((24, 24), to=(48, 48)), size=(48, 48))
        for s in samples
    ]
    fitted = fit_keypoint_interpreter(larger, SCHEMA, settings=QUICK)
    truth = annotated(50)
    found = fitted.predict(truth.features, size=(48, 48)).points[0].numpy() / 2
    assert np.linalg.norm(found - truth.keypoints.points, axis=1).max() < 1.5


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_other_heads(head, tmp_path):
    settings = replace(QUICK, head=head, steps=100)
    fitted = fit_keypoint_interpreter(map(annotated, range(3)), SCHEMA, settings=settings)
    fitted.save(tmp_path / "k.safetensors", card=CARD)
    loaded = load_keypoint_interpreter(tmp_path / "k.safetensors")
    sample = annotated(9)
    found = loaded.predict(sample.features)
    assert torch.equal(found.points, fitted.predict(sample.features).points)
    assert np.linalg.norm(found.points[0].numpy() - sample.keypoints.points, axis=1).max() < 2.5


def test_pixels_near_and_far():
    points = Keypoints(np.array([[5.0, 5], [30, 30], [9, 9]]), np.array([True, True, False]))
    heat = gaussian_heat_maps(points, size=(40, 40), sigma=1.5)
    chosen = select_heat_pixels(heat, count=60, seed=0)
    rows, columns = chosen.numpy().T
    distance = [np.hypot(columns + 0.5 - x, rows + 0.5 - y) for x, y in points.points]
    near = [int((d < 4.5).sum()) for d in distance[:2]]
    assert len(chosen) == 60
    assert near == [15, 15]
    flat = rows * 40 + columns
    assert (np.diff(flat) > 0).all()
    assert torch.equal(chosen, select_heat_pixels(heat, count=60, seed=0))
    assert not torch.equal(chosen, select_heat_pixels(heat, count=60, seed=1))
    # All near pixels where they are few, then all others.
    discs = sum(
        ((np.mgrid[:40, :40][1] + 0.5 - x) ** 2 + (np.mgrid[:40, :40][0] + 0.5 - y) ** 2) < 4.5**2
        for x, y in points.points[:2]
    ).sum()
    many = select_heat_pixels(heat, count=4 * discs, seed=0).numpy()
    assert (heat[:, many[:, 0], many[:, 1]].amax(dim=0) > np.exp(-4.5)).sum() == discs
    assert len(select_heat_pixels(heat, count=10_000, seed=0)) == 1600
    assert len(select_heat_pixels(torch.zeros(2, 8, 8), count=10, seed=0)) == 10


def test_round_trip(fitted, tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    fitted.save(first, card=CARD)
    loaded = load_keypoint_interpreter(first)
    assert (loaded.schema, loaded.ensemble.inputs.levels, loaded.ensemble.members.name) == (
        SCHEMA,
        LEVELS,
        "paper",
    )
    assert (loaded.sigma_share, loaded.threshold) == (0.06, 0.05)
    assert loaded.ensemble.generator_digest == "b" * 64
    assert loaded.report is None
    assert loaded.digest == fitted.digest
    sample = annotated(8)
    assert torch.equal(
        loaded.predict(sample.features).points, fitted.predict(sample.features).points
    )
    loaded.save(second, card=CARD)
    assert first.read_bytes() == second.read_bytes()
    assert replace(fitted, threshold=0.2).digest != fitted.digest


def test_bad_files(fitted, tmp_path):
    path = tmp_path / "k.safetensors"
    with pytest.raises(CheckpointError, match="does not exist"):
        load_keypoint_interpreter(path)
    fitted.save(path, card=CARD)
    checkpoint = read_checkpoint(path, kind="keypoint-interpreter")
    wrong = {**checkpoint.tensors, "extra": torch.zeros(1)}
    config = fitted._config
    write_checkpoint(
        path, wrong, kind="keypoint-interpreter", architecture="", config=config, card=CARD
    )
    with pytest.raises(CheckpointError, match="unexpected: extra"):
        load_keypoint_interpreter(path)
    write_checkpoint(path, wrong, kind="interpreter", architecture="", config=config, card=CARD)
    with pytest.raises(CheckpointError, match="is a interpreter checkpoint; expected a keypoint"):
        load_keypoint_interpreter(path)
    write_checkpoint(
        path, wrong, kind="keypoint-interpreter", architecture="", config=SCHEMA, card=CARD
    )
    with pytest.raises(CheckpointError, match="config"):
        load_keypoint_interpreter(path)


def test_bad_samples(fitted):
    def refit(*samples):
        return fit_keypoint_interpreter(samples, SCHEMA, settings=replace(QUICK, steps=1))

    good = annotated(0)
    with pytest.raises(LabelError, match="no keypoint is visible in 2 samples"):
        refit(annotated(0, hidden={0, 1}), annotated(1, hidden={0, 1}))
    with pytest.raises(LabelError, match="no keypoint is visible in 0 samples"):
        refit()
    one = Keypoints(good.keypoints.points[:1], good.keypoints.visible[:1])
    with pytest.raises(LabelError, match="annotated sample sample-0000 has 1 keypoints, expected"):
        refit(replace(good, keypoints=one))
    outside = Keypoints(good.keypoints.points + 30, good.keypoints.visible)
    with pytest.raises(LabelError, match="sample-0000: keypoint 'red' lies at"):
        refit(replace(good, keypoints=outside))
    tensors = (good.features.tensors[0] * torch.nan, good.features.tensors[1])
    with pytest.raises(UsageError, match="sample-0000 hold NaN"):
        refit(replace(good, features=FeaturePyramid(LEVELS, tensors)))
    other = FeaturePyramid.from_tensors(good.features.tensors)
    with pytest.raises(UsageError, match="do not fit the interpreter"):
        refit(good, replace(good, features=other))
    with pytest.raises(UsageError, match="one image at a time"):
        refit(replace(good, features=batch(good, good)))
    with pytest.raises(UsageError, match="these features do not fit"):
        fitted.predict(other)
    with pytest.raises(UsageError, match="at least 1 x 1"):
        fitted.predict(good.features, size=(0, 4))


def test_divergence_is_named():
    settings = replace(QUICK, learning_rate=1e30)
    with pytest.raises(TrainingError, match="diverged at step"):
        fit_keypoint_interpreter([annotated(0)], SCHEMA, settings=settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_members": 0}, "num_members must be at least 1"),
        ({"batch": 1}, "batch must be at least 2"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"pixels_per_image": 1}, "pixels_per_image must be at least 2"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"sigma_share": 0.0}, "sigma_share must be between 0 and 1"),
        ({"threshold": 1.0}, "threshold must be between 0 and 1"),
        ({"threshold": float("nan")}, "threshold must be between 0 and 1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"head": "conv"}, "'conv' looks at neighbours"),
        ({"head": "tree"}, "unknown head 'tree'"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(UsageError, match=message):
        KeypointSettings(**change)


def test_an_interpreter_is_what_the_class_says(fitted):
    assert isinstance(fitted, KeypointInterpreter)
    assert not any(p.requires_grad for p in fitted.ensemble.members.parameters())
    assert not fitted.ensemble.members.training


def test_what_is_read_already_is_fitted_on_again(fitted):
    samples = [annotated(seed, hidden={1} if seed == 5 else ()) for seed in range(6)]
    images = cache_annotated(samples, SCHEMA)
    assert images.visible.sum(axis=0).tolist() == [6, 5]
    again = fit_keypoint_interpreter(
        images, SCHEMA, settings=QUICK, generator_digest=fitted.ensemble.generator_digest
    )
    assert again.digest == fitted.digest


def test_inputs_are_chosen_and_kept(fitted, tmp_path):
    assert fitted.ensemble.inputs == InputSpec(LEVELS, "none", 0.0, "none")
    settings = KeypointSettings(num_members=2, batch=64, steps=2, normalization="levels")
    samples = [annotated(seed) for seed in range(3)]
    inputs = fit_keypoint_interpreter(samples, SCHEMA, settings=settings).ensemble.inputs
    assert inputs.level_falloff in FALLOFFS
    assert inputs.surroundings == "blocks"
    assert inputs.heeded is not None
    settings = replace(settings, level_falloff=2.0, surroundings="none")
    given = fit_keypoint_interpreter([annotated(0)], SCHEMA, settings=settings)
    assert given.ensemble.inputs == InputSpec(LEVELS, "none", 2.0, "none")
    given.save(tmp_path / "k.safetensors", card=CARD)
    assert load_keypoint_interpreter(tmp_path / "k.safetensors").digest == given.digest


def test_strips_of_a_large_picture_are_one_picture(fitted, monkeypatch):
    sample = annotated(3)
    whole = fitted.predict(sample.features, size=(90, 70))
    rows = 7 * 4 * 3 * 2 * 70  # seven rows at a time
    monkeypatch.setattr("datasetgan.interpreter.keypoints.predict._STRIP_BYTES", rows)
    parts = fitted.predict(sample.features, size=(90, 70))
    torch.testing.assert_close(parts.points, whole.points, rtol=0, atol=1e-4)
    torch.testing.assert_close(parts.scores, whole.scores, rtol=0, atol=1e-5)
    torch.testing.assert_close(parts.spread, whole.spread, rtol=0, atol=0.5)


def test_a_file_of_before_says_nothing_of_inputs(fitted, tmp_path):
    """Digest and tensors of such a file stay what they were."""
    settings = replace(QUICK, steps=2, normalization="none")
    raw = fit_keypoint_interpreter([annotated(0)], SCHEMA, settings=settings)
    raw.save(tmp_path / "new.safetensors", card=CARD)
    new = read_checkpoint(tmp_path / "new.safetensors", kind="keypoint-interpreter")
    assert not {"surroundings", "context"} & new.config.keys()
    old = {k: v for k, v in new.config.items() if k not in ("level_falloff", "heeded")}
    path = tmp_path / "old.safetensors"
    config = from_plain(KeypointConfig, old, source="old")
    write_checkpoint(
        path,
        new.tensors,
        kind="keypoint-interpreter",
        architecture="paper",
        config=config,
        card=CARD,
    )
    loaded = load_keypoint_interpreter(path)
    assert loaded.digest == raw.digest == content_digest(config, new.tensors)
    assert loaded.ensemble.inputs == InputSpec(LEVELS)
    sample = annotated(4)
    assert torch.equal(loaded.predict(sample.features).points, raw.predict(sample.features).points)


def test_validation_holds_every_image_out():
    samples = [annotated(seed, hidden={1} if seed else ()) for seed in range(6)]
    images = cache_annotated(samples, SCHEMA)
    steps = []
    found = validate_keypoints(
        images, SCHEMA, settings=QUICK, folds=3, on_step=lambda done, total: steps.append(total)
    )
    assert found.protocol == "k-fold"
    assert sorted(i for fold in found.folds for i in fold) == list(range(6))
    assert set(steps) == {3 * 150}
    # Nobody else shows the second point: no fit without that image can know it.
    assert found.unvalidated == ("blue",)
    assert [point.name for point in found.scores.keypoints] == ["red"]
    assert found.scores.images == found.scores.overall.points == 6
    assert found.scores.overall.l2_pixels < 1.5
    assert 0 < found.spread.l2_pixels < 1
    assert len(found.spread.pck) == 3
    assert [image.key for image in found.images] == [f"sample-{i:04d}" for i in range(6)]
    own = [image.l2_pixels for image in found.images]
    assert np.mean(own) == pytest.approx(found.scores.overall.l2_pixels)
    assert from_plain(KeypointValidation, to_plain(found), source="x") == found


def test_a_fold_never_sees_its_images():
    quick = replace(QUICK, steps=3)
    samples = [annotated(seed) for seed in range(4)]
    other = [*samples[:3], replace(samples[3], keypoints=samples[0].keypoints)]

    def digests(samples):
        fitter = KeypointFolds(cache_annotated(samples, SCHEMA), SCHEMA, quick)
        return [interpreter.digest for interpreter in fitter(((3,), (0, 1)))]

    ours, theirs = digests(samples), digests(other)
    assert [a == b for a, b in zip(ours, theirs, strict=True)] == [True, False]


def test_one_image_alone_cannot_be_validated():
    found = validate_keypoints(cache_annotated([annotated(0)], SCHEMA), SCHEMA, settings=QUICK)
    assert (found.protocol, found.scores, found.folds) == ("none", None, ())
    assert found.unvalidated == SCHEMA.names
