"""The fifteen corruptions of CIFAR-10-C, made when they are needed, for grey and colour images of any small size.

Parameters are those of the published 32 x 32 set (Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4; the
repository's ``make_cifar_c.py``). For other sizes lengths in pixels stay as they are, but those of the elastic
transform, which the published code gives as fractions of the side.

Differs from the published images: the random draws; values are rounded to the nearest of 256 grey levels, not cut off;
frost is made and not cut out of photographs (``weather.frost``). Motion blur and the fall of snow follow ImageMagick's
formula, resizing and JPEG are Pillow's, the rest is numpy and scipy.

The draws of an image depend on the seed, the kind of corruption and its id alone: not on the other images, the order,
the batch or the severity.

    corruptions.py   noise and digital corruptions, the table, ``corrupt``
    blurs.py         defocus, glass, motion, zoom
    weather.py       snow, frost, fog, brightness
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from trainmap.data.dataset import Dataset
from trainmap.errors import TrainmapError, shown, unknown, whole
from trainmap.evaluation.blurs import defocus, glass, motion, zoom
from trainmap.evaluation.weather import brightness, fog, frost, snow

Array = NDArray[Any]
Generators = Sequence[np.random.Generator]

SEVERITIES = (1, 2, 3, 4, 5)
SMALLEST = 8
BATCH = 500


@dataclass(frozen=True)
class Corruption:
    """A kind of damage.

    Attributes:
        function: (n, channels, H, W) float32 in [0, 1], the parameters of a severity, one generator for each image ->
            float32 of the same shape; values outside [0, 1] are clipped by the caller.
        family: as in the paper.
        severities: the parameters of severities 1 to 5.
    """

    function: Callable[[Array, Any, Generators], Array]
    family: Literal["noise", "blur", "weather", "digital"]
    severities: tuple[Any, Any, Any, Any, Any]


def corrupt(dataset: Dataset, kind: str, severity: int, seed: int = 0) -> Dataset:
    """The same examples with damaged images; ids and labels are kept.

    Args:
        dataset: of images with 1 or 3 channels, at least 8 x 8.
        kind: a key of ``CORRUPTIONS``.
        severity: 1 (mild) to 5.
        seed: of the draws.

    Returns:
        a dataset called ``"<name> <kind> <severity>"``.

    Raises:
        TrainmapError: an unknown kind, a severity outside 1 to 5, a dataset that is not of images.
    """
    check_corruption(kind, dataset)
    if isinstance(severity, bool) or severity not in SEVERITIES:
        raise TrainmapError(f"severity must be 1 (mild) to 5, got {shown(severity)}")
    whole(seed, "seed")
    corruption, purpose = CORRUPTIONS[kind], zlib.crc32(kind.encode())
    parameters = corruption.severities[severity - 1]
    x = np.empty_like(dataset.x)
    for start in range(0, len(dataset), BATCH):
        part = slice(start, start + BATCH)
        generators = [
            np.random.default_rng([int(seed), purpose, int(identity) % 2**64]) for identity in dataset.ids[part]
        ]
        clean = dataset.x[part].astype(np.float32) / np.float32(255)
        x[part] = to_bytes(corruption.function(clean, parameters, generators))
    return replace(dataset, name=f"{dataset.name} {kind} {severity}", x=x)


def check_corruption(kind: str, dataset: Dataset) -> None:
    """Refuse what cannot be corrupted, before anything is.

    Raises:
        TrainmapError: an unknown kind, or a dataset that is not of images.
    """
    if kind not in CORRUPTIONS:
        raise unknown("corruption", kind, CORRUPTIONS)
    inputs = dataset.inputs
    if inputs.form != "pixels" or inputs.shape[0] not in (1, 3) or min(inputs.shape[1:]) < SMALLEST:
        raise TrainmapError(
            f"corruptions are for images with 1 or 3 channels of at least {SMALLEST} x {SMALLEST}; "
            f"{dataset.name} has {inputs}"
        )


def to_bytes(x: Array) -> Array:
    """[0, 1] -> the nearest of 0..255; values outside are clipped."""
    return np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)


def gaussian_noise(x: Array, deviation: float, generators: Generators) -> Array:
    """Normal noise of that standard deviation on every value."""
    return x + np.float32(deviation) * _drawn(x, generators, lambda generator, shape: generator.standard_normal(shape))


def shot_noise(x: Array, photons: float, generators: Generators) -> Array:
    """Each value is a Poisson number of photons, of which ``photons`` make full brightness."""
    counts = [generator.poisson(image * photons) for image, generator in zip(x, generators, strict=True)]
    return (np.stack(counts) / photons).astype(np.float32)


def impulse_noise(x: Array, share: float, generators: Generators) -> Array:
    """That share of the values becomes 0 or 1, with equal chances."""
    draws = _drawn(x, generators, lambda generator, shape: generator.random((2, *shape)))
    hit, salt = draws[:, 0] <= share, draws[:, 1] <= 0.5
    return np.where(hit, salt.astype(np.float32), x)


def contrast(x: Array, factor: float, generators: Generators) -> Array:
    """Each channel drawn towards its mean: ``mean + factor (x - mean)``."""
    mean = x.mean(axis=(2, 3), keepdims=True)
    return mean + np.float32(factor) * (x - mean)


def elastic(x: Array, parameters: tuple[float, float, float], generators: Generators) -> Array:
    """A random affine map, then every pixel displaced by smooth noise.

    Parameters, as fractions of the side: how far pixels are displaced, the width of the Gaussian that smooths the
    displacement (uniform in [-1, 1] before), and how far each of the three points that set the affine map may move.
    """
    return np.stack([_elastic(image, parameters, g) for image, g in zip(x, generators, strict=True)])


def pixelate(x: Array, factor: float, generators: Generators) -> Array:
    """Resized by ``factor`` and back, with a box filter (Pillow)."""

    def resize(image: Image.Image) -> Image.Image:
        small = (int(image.width * factor), int(image.height * factor))
        return image.resize(small, Image.Resampling.BOX).resize(image.size, Image.Resampling.BOX)

    return _with_pillow(x, resize)


def jpeg(x: Array, quality: int, generators: Generators) -> Array:
    """Written as JPEG of that quality and read again (Pillow, its own subsampling of the colours)."""

    def through_jpeg(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _with_pillow(x, through_jpeg)


def _elastic(image: Array, parameters: tuple[float, float, float], generator: np.random.Generator) -> Array:
    height, width = image.shape[1:]
    side = min(height, width)
    reach, sigma, jitter = (fraction * side for fraction in parameters)
    centre, arm = np.array([height // 2, width // 2]), side // 3
    points = np.array([centre + arm, centre + np.array([arm, -arm]), centre - arm], np.float64)
    moved = points + generator.uniform(-jitter, jitter, points.shape)
    homogeneous = np.concatenate([moved, np.ones((3, 1))], axis=1)
    back = np.linalg.solve(homogeneous, points).T  # (2, 3): from a place in the result to one in the image
    offsets = [
        ndimage.gaussian_filter(generator.uniform(-1, 1, (height, width)), sigma, mode="reflect", truncate=3) * reach
        for _ in range(2)
    ]
    places = np.indices((height, width), dtype=np.float64)
    offset: Any = back[:, 2]  # scipy's annotation knows a number only
    warped = [ndimage.affine_transform(channel, back[:, :2], offset, order=1, mode="mirror") for channel in image]
    return np.stack(
        [ndimage.map_coordinates(channel, places + offsets, order=1, mode="reflect") for channel in warped]
    ).astype(np.float32)


def _drawn(x: Array, generators: Generators, draw: Callable[[np.random.Generator, tuple[int, ...]], Array]) -> Array:
    return np.stack([draw(generator, x.shape[1:]) for generator in generators]).astype(np.float32)


def _with_pillow(x: Array, change: Callable[[Image.Image], Image.Image]) -> Array:
    """The change made to each image as 8-bit grey or RGB."""
    grey = x.shape[1] == 1
    images = to_bytes(x)[:, 0] if grey else np.ascontiguousarray(to_bytes(x).transpose(0, 2, 3, 1))
    changed = np.stack([np.asarray(change(Image.fromarray(image))) for image in images])
    return (changed[:, None] if grey else changed.transpose(0, 3, 1, 2)).astype(np.float32) / 255


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": Corruption(gaussian_noise, "noise", (0.04, 0.06, 0.08, 0.09, 0.10)),
    "shot_noise": Corruption(shot_noise, "noise", (500, 250, 100, 75, 50)),
    "impulse_noise": Corruption(impulse_noise, "noise", (0.01, 0.02, 0.03, 0.05, 0.07)),
    "defocus_blur": Corruption(defocus, "blur", ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))),
    "glass_blur": Corruption(glass, "blur", ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))),
    "motion_blur": Corruption(motion, "blur", ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))),
    "zoom_blur": Corruption(
        zoom,
        "blur",
        tuple(tuple(1 + i / 100 for i in range(last + 1)) for last in (6, 11, 15, 20, 25)),  # pyright: ignore[reportArgumentType]
    ),
    "snow": Corruption(
        snow,
        "weather",
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
    ),
    "frost": Corruption(frost, "weather", ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))),
    "fog": Corruption(fog, "weather", ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))),
    "brightness": Corruption(brightness, "weather", (0.05, 0.1, 0.15, 0.2, 0.3)),
    "contrast": Corruption(contrast, "digital", (0.75, 0.5, 0.4, 0.3, 0.15)),
    "elastic_transform": Corruption(
        elastic, "digital", ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03))
    ),
    "pixelate": Corruption(pixelate, "digital", (0.95, 0.9, 0.85, 0.75, 0.65)),
    "jpeg_compression": Corruption(jpeg, "digital", (80, 65, 58, 50, 40)),
}
"""The paper's fifteen (the published set's four extra kinds, meant for validation, are not here)."""
