"""Pixels, samples and files as what a browser shows: a picture or a sound with its type, told by its first bytes."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from trainmap.errors import TrainmapError

Array = NDArray[Any]

LARGEST = 64 << 20
"""Bytes of one picture or sound that a page is sent."""
MOST_PIXELS = 1 << 26
"""Of a picture that is decoded here: a file of a few kB may unpack to any size."""
SVG = "image/svg+xml"
STARTS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
)


@dataclass(frozen=True)
class Medium:
    """A picture or a sound.

    Attributes:
        content: the bytes.
        type: one of the types that ``sniffed`` knows, whatever a file's name says.
    """

    content: bytes
    type: str

    @property
    def kind(self) -> str:
        """ "image" or "audio"."""
        return self.type.partition("/")[0]


def sniffed(content: bytes) -> str:
    """The type that the first bytes tell; "" where they tell none that a browser shows."""
    if content[:4] == b"RIFF" and content[8:12] in (b"WAVE", b"WEBP"):
        return "audio/wav" if content[8:12] == b"WAVE" else "image/webp"
    for start, kind in STARTS:
        if content.startswith(start):
            return kind
    head = content[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return SVG if head.startswith(b"<svg") or (head.startswith((b"<?xml", b"<!--")) and b"<svg" in head) else ""


def medium(content: bytes, name: str) -> Medium:
    """A file's bytes as a picture or a sound; pictures that browsers do not show (TIFF, BMP, PPM) become PNG.

    Args:
        name: of the example, for the error.

    Raises:
        TrainmapError: too large, or neither a picture nor a sound.
    """
    if len(content) > LARGEST:
        raise TrainmapError(f"{name} has {len(content):,} bytes; a page shows files up to {LARGEST:,}")
    if kind := sniffed(content):
        return Medium(content, kind)
    return png(np.asarray(_opened(content, name).convert("RGB")))


def _opened(content: bytes, name: str) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(content))
        if picture.width * picture.height > MOST_PIXELS:
            raise TrainmapError(f"{name} has {picture.width:,} x {picture.height:,} pixels, at most {MOST_PIXELS:,}")
        picture.load()
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, TrainmapError):
            raise
        raise TrainmapError(f"{name} is neither a picture nor a sound that can be shown") from error
    return picture


def png(pixels: Array) -> Medium:
    """Pixels as PNG: (H, W) or (H, W, 3 or 4) uint8."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return Medium(out.getvalue(), "image/png")


def wav(samples: Array, rate: int) -> Medium:
    """One channel (T,) or several (T, channels) as 16-bit WAV; floats are taken as -1 to 1, and louder ones scaled."""
    values = np.asarray(samples)
    if values.dtype.kind == "f":
        loudest = max(1.0, float(np.abs(np.nan_to_num(values)).max(initial=0)))
        values = np.rint(np.nan_to_num(values) / loudest * 32767)
    elif values.dtype.itemsize > 2:
        values = np.clip(values, -32768, 32767)
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1 if values.ndim == 1 else values.shape[1])
        sound.setsampwidth(2)
        sound.setframerate(int(rate))
        sound.writeframes(values.astype("<i2").tobytes())
    return Medium(out.getvalue(), "audio/wav")


def pixels_of(values: Array) -> Array | None:
    """An array as pixels, (H, W) or (H, W, 3 or 4) uint8; None where it has not the shape of a picture.

    Channels stand in front, as networks have them, or behind. Floats within 0 to 1 are scaled by 255; others (a
    normalised picture) from their own smallest to their own largest.
    """
    values = np.asarray(values)
    if values.ndim == 3 and values.shape[0] in (1, 3, 4) and values.shape[2] not in (3, 4):
        values = values.transpose(1, 2, 0)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)) or 0 in values.shape:
        return None
    if values.dtype != np.uint8:
        numbers = np.nan_to_num(values.astype(np.float64))
        low, high = float(numbers.min()), float(numbers.max())
        if values.dtype.kind == "f" and 0 <= low <= high <= 1:
            low, high = 0.0, 1.0
        elif values.dtype.kind in "iu" and 0 <= low <= high <= 255:
            low, high = 0.0, 255.0
        values = np.rint(255 * (numbers - low) / ((high - low) or 1)).astype(np.uint8)
    return np.ascontiguousarray(values)


def small(one: Medium, side: int) -> Medium | None:
    """A picture within side x side pixels; None for a sound, and for a picture that cannot be made small (SVG)."""
    if one.kind != "image" or one.type == SVG:
        return None
    picture = ImageOps.exif_transpose(_opened(one.content, "a picture"))
    if max(picture.size) <= side and len(one.content) <= 4 * side * side:
        return one
    picture.thumbnail((side, side))
    out = io.BytesIO()
    plain = picture.mode in ("1", "L", "P", "I", "LA", "RGBA", "PA")
    (picture.convert("RGBA") if plain else picture.convert("RGB")).save(out, "WEBP", quality=80)
    return Medium(out.getvalue(), "image/webp")
