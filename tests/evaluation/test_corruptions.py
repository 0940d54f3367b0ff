"""Corruptions: rules over the whole family, then single ones by hand or against another implementation."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from trainmap.data.dataset import Dataset
from trainmap.errors import TrainmapError
from trainmap.evaluation.blurs import along_a_line, clipped_zoom, disk, glass
from trainmap.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt, to_bytes
from trainmap.evaluation.weather import brightness, fog, grey, plasma

KINDS = sorted(CORRUPTIONS)
SHAPES = [(1, 28, 28), (3, 32, 32)]


def scenes(n: int = 6, shape: tuple[int, int, int] = (3, 32, 32), ids: Sequence[int] | None = None) -> Dataset:
    """Smooth pictures with an edge, so that blur and noise both show."""
    draws = np.random.default_rng(5)
    x = ndimage.gaussian_filter(draws.random((n, *shape)), (0, 0, 2, 2))
    x = (x - x.min()) / (x.max() - x.min()) * 200 + 20
    x[:, :, : shape[1] // 2, : shape[2] // 3] += 30
    names = np.arange(n) if ids is None else np.asarray(ids)
    return Dataset("scenes", names.astype(np.int64), x.astype(np.uint8), np.arange(n, dtype=np.int64) % 3, 3)


def change(dataset: Dataset, kind: str, severity: int) -> float:
    return float(np.abs(corrupt(dataset, kind, severity).x.astype(float) - dataset.x).mean())


# --- the whole family -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [*SHAPES, (1, 8, 13)])
@pytest.mark.parametrize("kind", KINDS)
def test_every_corruption_keeps_shape_type_ids_and_labels(kind: str, shape: tuple[int, int, int]) -> None:
    dataset = scenes(shape=shape, ids=[7, 3, 900, 2**40, 0, -5])
    for severity in SEVERITIES:
        damaged = corrupt(dataset, kind, severity, seed=1)
        assert damaged.x.dtype == np.uint8
        assert damaged.x.shape == dataset.x.shape
        assert damaged.ids is dataset.ids
        assert damaged.y is dataset.y
        assert damaged.classes == dataset.classes
        assert damaged.name == f"scenes {kind} {severity}"
        assert (damaged.x != dataset.x).any()


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_gets_the_same_damage_in_any_order_and_in_any_company(kind: str) -> None:
    dataset = scenes(7)
    whole = corrupt(dataset, kind, 3, seed=2)
    for ids in ([6, 2, 0, 4], [5]):
        alone = corrupt(dataset.subset(ids), kind, 3, seed=2)
        np.testing.assert_array_equal(alone.x, whole.subset(ids).x)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_do_not_show(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = corrupt(scenes(7), kind, 5)
    monkeypatch.setattr("trainmap.evaluation.corruptions.BATCH", 3)
    np.testing.assert_array_equal(corrupt(scenes(7), kind, 5).x, whole.x)


# Elastic's first severity is a strong affine map alone; later ones trade it for displacement.
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"elastic_transform"}))
def test_the_highest_severity_changes_more_than_the_lowest(kind: str, shape: tuple[int, int, int]) -> None:
    dataset = scenes(20, shape)
    assert change(dataset, kind, 5) > change(dataset, kind, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_random_corruptions_follow_the_seed_and_the_id_and_the_others_do_not(kind: str) -> None:
    fixed = {"defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression"}
    dataset = scenes(1)
    twins = Dataset("twins", np.array([1, 2]), np.repeat(dataset.x, 2, axis=0), np.zeros(2, np.int64), 3)
    first, second = corrupt(twins, kind, 4).x
    again = corrupt(twins, kind, 4, seed=9).x[0]
    assert np.array_equal(first, second) == (kind in fixed)
    assert np.array_equal(first, again) == (kind in fixed)


def test_the_global_random_state_stays_untouched() -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    for kind in KINDS:
        corrupt(scenes(2), kind, 1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # type: ignore[index]  # noqa: NPY002


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("kind", KINDS)
def test_black_and_white_images_are_corrupted_without_a_warning(kind: str, level: int) -> None:
    flat = Dataset("flat", np.arange(2), np.full((2, 3, 32, 32), level, np.uint8), np.zeros(2, np.int64), 2)
    assert corrupt(flat, kind, 5).x.shape == flat.x.shape


def test_no_images_are_no_images() -> None:
    assert len(corrupt(scenes(3).subset([]), "snow", 1)) == 0


def test_mistakes_are_told() -> None:
    with pytest.raises(TrainmapError, match="did you mean 'frost'"):
        corrupt(scenes(1), "forst", 1)
    for severity in (0, 6, 2.5, True):
        with pytest.raises(TrainmapError, match="severity must be 1"):
            corrupt(scenes(1), "frost", severity)  # type: ignore[arg-type]
    with pytest.raises(TrainmapError, match="seed must be"):
        corrupt(scenes(1), "frost", 1, seed=-1)
    table = Dataset("adult", np.arange(2), np.zeros((2, 4), np.float32), np.zeros(2, np.int64), 2)
    with pytest.raises(TrainmapError, match="corruptions are for images"):
        corrupt(table, "frost", 1)
    with pytest.raises(TrainmapError, match="at least 8 x 8"):
        corrupt(scenes(1, (1, 7, 9)), "frost", 1)


# --- single ones ----------------------------------------------------------------------------------------------------


def image(rows: object) -> Dataset:
    """One grey image, 8 x 8, in whose corner the rows stand; 100 elsewhere."""
    x = np.full((1, 1, 8, 8), 100, np.uint8)
    values = np.array(rows)
    x[0, 0, : values.shape[0], : values.shape[1]] = values
    return Dataset("one", np.array([0]), x, np.array([0]), 1)


def test_brightness_by_hand() -> None:
    damaged = corrupt(image([[0, 10, 250]]), "brightness", 2).x[0, 0]  # + 0.1 x 255 = 25.5
    assert damaged[0, :4].tolist() == [26, 36, 255, 126]  # 125.5 in single precision lies above the half


def test_brightness_of_a_colour_keeps_hue_and_saturation() -> None:
    x = np.array([0.5, 0.25, 0.0], np.float32).reshape(1, 3, 1, 1)  # value 0.5 -> 0.6: every channel times 1.2
    np.testing.assert_allclose(brightness(x, 0.1, []).ravel(), [0.6, 0.3, 0.0], atol=1e-6)
    black = np.zeros((1, 3, 1, 1), np.float32)
    np.testing.assert_allclose(brightness(black, 0.1, []).ravel(), [0.1, 0.1, 0.1], atol=1e-6)


def test_contrast_by_hand() -> None:
    dataset = image(np.tile([0, 200], (8, 4)))  # mean 100
    assert corrupt(dataset, "contrast", 2).x[0, 0, 0, :2].tolist() == [50, 150]
    assert corrupt(dataset, "contrast", 5).x[0, 0, 0, :2].tolist() == [85, 115]


def test_pixelate_by_hand() -> None:
    # 8 x 0.65 = 5 boxes; the first covers pixels 0 and 1 (a box filter takes a pixel whose centre lies in the box)
    line = np.tile(np.array([0, 100, 0, 0, 0, 0, 0, 0], np.uint8), (8, 1))
    damaged = corrupt(image(line), "pixelate", 5).x[0, 0]
    assert len(np.unique(damaged[0])) <= 5
    assert damaged[0, :2].tolist() == [50, 50]


@pytest.mark.parametrize("shape", SHAPES)
def test_jpeg_is_pillows(shape: tuple[int, int, int]) -> None:
    dataset = scenes(3, shape)
    for severity, quality in zip(SEVERITIES, (80, 65, 58, 50, 40), strict=True):
        damaged = corrupt(dataset, "jpeg_compression", severity).x
        for before, after in zip(dataset.x, damaged, strict=True):
            file = io.BytesIO()
            plain = before[0] if shape[0] == 1 else before.transpose(1, 2, 0)
            Image.fromarray(plain).save(file, "JPEG", quality=quality)
            read = np.asarray(Image.open(file))
            np.testing.assert_array_equal(after, read[None] if shape[0] == 1 else read.transpose(2, 0, 1))


def test_noise_has_the_stated_size() -> None:
    grey_images = Dataset("g", np.arange(60), np.full((60, 1, 32, 32), 128, np.uint8), np.zeros(60, np.int64), 1)

    def deviation(kind: str, severity: int) -> float:
        return float((corrupt(grey_images, kind, severity).x.astype(float) - 128).std() / 255)

    assert deviation("gaussian_noise", 3) == pytest.approx(0.08, rel=0.02)
    assert deviation("shot_noise", 2) == pytest.approx(np.sqrt(128 / 255 / 250), rel=0.02)
    hit = corrupt(grey_images, "impulse_noise", 5).x
    assert (hit == 0).mean() == pytest.approx(0.035, rel=0.05)
    assert (hit == 255).mean() == pytest.approx(0.035, rel=0.05)
    assert ((hit == 128) | (hit == 0) | (hit == 255)).all()


def test_the_severities_of_gaussian_noise_are_one_noise_at_five_sizes() -> None:
    flat = Dataset("g", np.arange(2), np.full((2, 1, 16, 16), 128, np.uint8), np.zeros(2, np.int64), 1)
    mild, strong = (corrupt(flat, "gaussian_noise", severity).x.astype(float) - 128 for severity in (1, 5))
    np.testing.assert_allclose(strong, mild * 0.10 / 0.04, atol=2)


def test_a_disk_by_hand() -> None:
    sharp = disk(1, 0.01)  # the smoothing does nothing: a plus of five pixels
    np.testing.assert_allclose(sharp[1:-1, 1:-1], np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]) / 5, atol=1e-7)
    soft = disk(0.3, 0.4)  # one pixel, smoothed by exp(-1 / (2 x 0.16)) on each side
    side = np.exp(-1 / 0.32)
    line = np.array([side, 1, side]) / (1 + 2 * side)
    np.testing.assert_allclose(soft[1:-1, 1:-1], np.outer(line, line), atol=1e-7)
    assert soft.sum() == pytest.approx(1)


def test_motion_blur_of_a_point_by_hand() -> None:
    point = np.zeros((1, 9, 9), np.float32)
    point[0, 4, 4] = 1
    weights = np.exp(-(np.arange(5) ** 2) / 2)
    weights /= weights.sum()
    level = along_a_line(point, 2, 1, 0)[0]  # reads to the right: the point is smeared to the left
    np.testing.assert_allclose(level[4, 4::-1], weights, atol=1e-7)
    assert level.sum() == pytest.approx(1)
    upright = along_a_line(point, 2, 1, 90)[0]
    np.testing.assert_allclose(upright[4::-1, 4], weights, atol=1e-7)


def test_zoom_agrees_with_scipy_on_each_image() -> None:
    x = np.random.default_rng(0).random((2, 3, 32, 32)).astype(np.float32)
    for factor in (1.0, 1.07, 1.25, 2.25):
        kept = int(np.ceil(32 / factor))
        top = (32 - kept) // 2
        grown = np.asarray(ndimage.zoom(x[1, 2, top : top + kept, top : top + kept], factor, order=1))
        trim = (len(grown) - 32) // 2
        np.testing.assert_allclose(clipped_zoom(x, factor)[1, 2], grown[trim : trim + 32, trim : trim + 32], atol=1e-5)


def test_glass_moves_pixels_one_by_one() -> None:
    x = np.random.default_rng(1).integers(0, 256, (3, 2, 9, 11)).astype(np.float32) / 255
    moved = glass(x, (0.0, 1, 2), [np.random.default_rng(i) for i in range(3)])
    for place in range(3):
        expected, draws = x[place].copy(), np.random.default_rng(place).integers(-1, 1, (2 * 7 * 9, 2))
        for step, (right, down) in enumerate(draws):
            h, w = 8 - step // 9 % 7, 10 - step % 9
            expected[:, h, w] = expected[:, h + down, w + right]
        np.testing.assert_allclose(moved[place], expected, atol=1e-6)


def test_fog_keeps_the_brightest_value_as_its_ceiling() -> None:
    x = np.full((1, 1, 16, 16), 0.4, np.float32)
    foggy = fog(x, (1.0, 2.0), [np.random.default_rng(0)])
    cloud = plasma((16, 16), 2.0, [np.random.default_rng(0)])
    np.testing.assert_allclose(foggy[0, 0], (0.4 + cloud[0]) * 0.4 / 1.4, rtol=1e-5)
    assert cloud.min() == 0
    assert cloud.max() == 1


def test_plasma_fills_every_point_from_its_four_neighbours() -> None:
    """A 4 x 4 cloud computed a second way, point by point."""
    draws = np.random.default_rng(3).uniform(-1, 1, 15)
    cloud, used, step, amplitude = np.zeros((4, 4)), 0, 4, 100.0
    while step > 1:
        half = step // 2
        for first, second in ((half, half), (0, half), (half, 0)):
            new = {}
            for i in range(first, 4, step):
                for j in range(second, 4, step):
                    near = [(half, half), (half, -half), (-half, half), (-half, -half)]
                    if first != second:
                        near = [(half, 0), (-half, 0), (0, half), (0, -half)]
                    mean = np.mean([cloud[(i + a) % 4, (j + b) % 4] for a, b in near])
                    new[i, j] = mean + amplitude**2 * draws[used]
                    used += 1
            for place, value in new.items():
                cloud[place] = value
        step, amplitude = half, amplitude / 3
    cloud = (cloud - cloud.min()) / (cloud.max() - cloud.min())
    np.testing.assert_allclose(plasma((4, 4), 3.0, [np.random.default_rng(3)])[0], cloud, atol=1e-6)


def test_grey_is_luma_for_three_channels() -> None:
    x = np.zeros((1, 3, 1, 1), np.float32)
    x[0, 1] = 1
    assert grey(x).item() == pytest.approx(0.587)
    assert grey(x[:, :1]).item() == 0


def test_bytes_are_rounded_and_clipped() -> None:
    assert to_bytes(np.array([-0.2, 0.0, 0.5, 1.0, 1.7]) + 0.0).tolist() == [0, 0, 128, 255, 255]
