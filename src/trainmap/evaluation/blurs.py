"""The four blurs of CIFAR-10-C: out of focus, through frosted glass, along a line, towards the middle.

Each takes (n, channels, H, W) float32 pixels in [0, 1], the parameters of one severity, and one generator for each
image; see ``trainmap.evaluation.corruptions`` for the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[Any]
Generators = Sequence[np.random.Generator]

DISK_SIDE = 17


def defocus(x: Array, parameters: tuple[float, float], generators: Generators) -> Array:
    """Convolution with a disk of ``radius`` pixels, itself smoothed by a 3 x 3 Gaussian of width ``alias``."""
    radius, alias = parameters
    return ndimage.correlate(x, disk(radius, alias)[None, None], mode="mirror")


def glass(x: Array, parameters: tuple[float, int, int], generators: Generators) -> Array:
    """Gaussian blur, then pixels move to near places (up to ``reach``, ``rounds`` times), then Gaussian blur.

    From the last pixel to the first, each takes the value of a pixel up to ``reach`` above and left of it (or its own).
    The paper says that pixels are shuffled; the code that made the published images swaps two views of one array, which
    copies one pixel over the other, and so do we.
    """
    sigma, reach, rounds = parameters
    blurred = _gaussian(x, sigma)
    blurred = np.rint(blurred * 255).astype(np.float32) / 255
    height, width = x.shape[2:]
    rows, columns = range(height - reach, reach, -1), range(width - reach, reach, -1)
    steps = rounds * len(rows) * len(columns)
    moves = np.stack([generator.integers(-reach, reach, (steps, 2)) for generator in generators], axis=1)
    image = np.arange(len(x))
    pixels = np.ascontiguousarray(blurred.transpose(2, 3, 0, 1))  # a step reads and writes one pixel of every image
    step = 0
    for _ in range(rounds):
        for h in rows:
            for w in columns:
                right, down = moves[step].T
                pixels[h, w] = pixels[h + down, w + right, image]
                step += 1
    return _gaussian(np.ascontiguousarray(pixels.transpose(2, 3, 0, 1)), sigma)


def motion(x: Array, parameters: tuple[float, float], generators: Generators) -> Array:
    """Blur along a line at a random angle in [-45, 45) degrees; see ``along_a_line``."""
    radius, sigma = parameters
    angles = [generator.uniform(-45, 45) for generator in generators]
    return np.stack([along_a_line(image, radius, sigma, angle) for image, angle in zip(x, angles, strict=True)])


def zoom(x: Array, factors: tuple[float, ...], generators: Generators) -> Array:
    """The mean of the image and of its enlargements by each factor."""
    total = x.copy()
    for factor in factors:
        total += clipped_zoom(x, factor)
    return total / np.float32(len(factors) + 1)


def disk(radius: float, alias: float) -> Array:
    """A disk of that radius on a 17 x 17 grid, smoothed by a 3 x 3 Gaussian of standard deviation ``alias``; sum 1."""
    away = np.arange(DISK_SIDE) - DISK_SIDE // 2
    kernel = (away[:, None] ** 2 + away**2 <= radius**2).astype(np.float64)
    weights = np.exp(-(np.arange(-1, 2) ** 2) / (2 * alias**2))
    weights /= weights.sum()
    for axis in (0, 1):
        kernel = ndimage.correlate1d(kernel, weights, axis=axis, mode="constant")
    kernel = kernel / kernel.sum()
    used = math.ceil(radius) + 1  # zero outside
    middle = slice(DISK_SIDE // 2 - used, DISK_SIDE // 2 + used + 1)
    return kernel[middle, middle].astype(np.float32)


def along_a_line(image: Array, radius: float, sigma: float, angle: float) -> Array:
    """ImageMagick's motion blur of one image: sum_i k_i image(moved by i steps at ``angle`` degrees).

    k is half a Gaussian, k_i ~ exp(-i^2 / (2 sigma^2)) for i = 0 to 2 ceil(radius), with sum 1; a step's place is
    rounded to a whole pixel, and outside the image its border goes on.

    Args:
        image: (..., H, W).
    """
    taps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(taps**2) / (2 * sigma**2))
    weights = (weights / weights.sum()).astype(np.float32)
    turn = math.radians(angle)
    right = np.ceil(taps * math.cos(turn) - 0.5).astype(int)
    down = np.ceil(taps * math.sin(turn) - 0.5).astype(int)
    height, width = image.shape[-2:]
    margin = len(taps)
    padding = [(0, 0)] * (image.ndim - 2) + [(margin, margin)] * 2
    padded = np.pad(image, padding, mode="edge")
    total = np.zeros_like(image)
    for weight, i, j in zip(weights, down + margin, right + margin, strict=True):
        total += weight * padded[..., i : i + height, j : j + width]
    return total


def clipped_zoom(x: Array, factor: float) -> Array:
    """The middle of (..., H, W), enlarged by ``factor`` (linear interpolation) to H x W."""
    height, width = x.shape[-2:]
    return _enlarge(height, factor) @ x @ _enlarge(width, factor).T


@lru_cache(maxsize=256)
def _enlarge(side: int, factor: float) -> Array:
    """(side, side) float32: the linear map from a line of pixels to its enlarged middle."""
    kept = math.ceil(side / factor)
    top = (side - kept) // 2
    grown = np.asarray(ndimage.zoom(np.eye(kept), (factor, 1), order=1))
    trim = (len(grown) - side) // 2
    matrix = np.zeros((side, side), np.float32)
    matrix[:, top : top + kept] = grown[trim : trim + side]
    return matrix


def _gaussian(x: Array, sigma: float) -> Array:
    return ndimage.gaussian_filter(x, (0, 0, sigma, sigma), mode="nearest")
