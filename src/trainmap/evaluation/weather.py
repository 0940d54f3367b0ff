"""The weather of CIFAR-10-C: snow, frost, fog, brightness.

Each takes (n, channels, H, W) float32 pixels in [0, 1], the parameters of one severity, and one generator for each
image; see ``trainmap.evaluation.corruptions`` for the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.evaluation.blurs import along_a_line, clipped_zoom

Array = NDArray[Any]
Generators = Sequence[np.random.Generator]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)

# Measured on the five photographs that the published frost is cut from, at the size at which it is cut: 32 x 32 cuts
# have mean grey 0.47 to 0.83, a standard deviation of 0.055 within a cut, neighbours that correlate at 0.8, and these
# channels relative to grey.
FROST_GREY = (0.47, 0.83)
FROST_CONTRAST = 0.055
FROST_TINT = np.array([0.89, 1.02, 1.09], np.float32)
FROST_DECAY = 1.2


def snow(x: Array, parameters: tuple[float, ...], generators: Generators) -> Array:
    """Flakes that fall along a line, at two angles, over a whitened image.

    Parameters: mean and standard deviation of the noise that flakes are made of, its enlargement, the threshold below
    which there is no flake, radius and sigma of the fall (see ``blurs.along_a_line``; angle in [-135, -45) degrees),
    and how much of the image is kept as it is.
    """
    mean, deviation, factor, threshold, radius, sigma, kept = parameters
    noise = np.stack([g.normal(mean, deviation, x.shape[2:]) for g in generators]).astype(np.float32)
    flakes = clipped_zoom(noise, factor)
    flakes = np.rint(np.clip(np.where(flakes < threshold, 0, flakes), 0, 1) * 255).astype(np.float32) / 255
    angles = [generator.uniform(-135, -45) for generator in generators]
    fallen = np.stack([along_a_line(f, radius, sigma, angle) for f, angle in zip(flakes, angles, strict=True)])[:, None]
    whitened = kept * x + (1 - kept) * np.maximum(x, grey(x) * 1.5 + 0.5)
    return (whitened + fallen + fallen[:, :, ::-1, ::-1]).astype(np.float32)


def frost(x: Array, parameters: tuple[float, float], generators: Generators) -> Array:
    """``image x + ice f``, f an icy texture made for each image.

    Differs: the published code cuts f out of five photographs, which are not ours to ship. Here f is a plasma fractal
    with the photographs' range of mean grey, contrast and tint; its detail is that of noise and not of crystals.
    """
    image, ice = parameters
    texture = plasma(x.shape[2:], FROST_DECAY, generators)
    texture -= texture.mean(axis=(1, 2), keepdims=True)
    spread = texture.std(axis=(1, 2), keepdims=True)
    level = np.array([generator.uniform(*FROST_GREY) for generator in generators], np.float32)[:, None, None]
    layer = (level + FROST_CONTRAST / spread * texture)[:, None]
    if x.shape[1] == 3:
        layer = layer * FROST_TINT[:, None, None]
    return image * x + ice * np.clip(layer, 0, 1)


def fog(x: Array, parameters: tuple[float, float], generators: Generators) -> Array:
    """``(x + amount f) m / (m + amount)``, f a plasma fractal in [0, 1] and m the image's highest value."""
    amount, decay = parameters
    highest = x.max(axis=(1, 2, 3), keepdims=True)
    return (x + amount * plasma(x.shape[2:], decay, generators)[:, None]) * highest / (highest + amount)


def brightness(x: Array, amount: float, generators: Generators) -> Array:
    """``amount`` added to the value of each pixel (the highest of its channels), at the same hue and saturation."""
    value = x.max(axis=1, keepdims=True)
    brighter = np.minimum(value + np.float32(amount), 1)
    return np.where(value > 0, x * (brighter / np.where(value > 0, value, 1)), brighter)


def grey(x: Array) -> Array:
    """(n, 1, H, W): the luma of three channels (ITU-R BT.601), the mean of any other number."""
    if x.shape[1] == 3:
        return np.einsum("nchw,c->nhw", x, LUMA)[:, None]
    return x.mean(axis=1, keepdims=True)


def plasma(shape: tuple[int, ...], decay: float, generators: Generators) -> Array:
    """A cloud for each generator: the diamond-square fractal, scaled to [0, 1] and cut to ``shape``.

    A square whose side is a power of two is filled from coarse to fine: each new point is the mean of its four
    neighbours (the edges are joined) plus uniform noise in [-w^2, w^2], where w starts at 100 and is divided by
    ``decay`` at each halving. The amplitude w^2 is that of the published code.

    Returns:
        ``(n, *shape)`` float32.
    """
    side = 1 << max(1, (max(shape) - 1).bit_length())
    draws = np.stack([generator.uniform(-1, 1, side * side - 1) for generator in generators])
    cloud = np.zeros((len(generators), side, side))
    used, step, amplitude = 0, side, 100.0

    def noise(rows: int) -> Array:
        nonlocal used
        taken = draws[:, used : used + rows * rows].reshape(-1, rows, rows)
        used += rows * rows
        return amplitude**2 * taken

    while step >= 2:
        half, cells = step // 2, side // step
        corners = cloud[:, ::step, ::step]
        sums = corners + np.roll(corners, -1, axis=1)
        sums = sums + np.roll(sums, -1, axis=2)
        cloud[:, half::step, half::step] = sums / 4 + noise(cells)
        middles, corners = cloud[:, half::step, half::step], cloud[:, ::step, ::step]
        across = middles + np.roll(middles, 1, axis=1) + corners + np.roll(corners, -1, axis=2)
        cloud[:, ::step, half::step] = across / 4 + noise(cells)
        down = middles + np.roll(middles, 1, axis=2) + corners + np.roll(corners, -1, axis=1)
        cloud[:, half::step, ::step] = down / 4 + noise(cells)
        step, amplitude = half, amplitude / decay
    lowest, highest = cloud.min(axis=(1, 2), keepdims=True), cloud.max(axis=(1, 2), keepdims=True)
    return ((cloud - lowest) / (highest - lowest)).astype(np.float32)[:, : shape[0], : shape[1]]
