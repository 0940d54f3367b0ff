"""One example as a person sees it: a text, the columns of a row, pictures and sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trainmap.errors import TrainmapError
from trainmap.explorer.encoded import LARGEST, Medium, medium, pixels_of, png, wav
from trainmap.files import reading

LONGEST = 20_000
"""Characters of a text that a page is sent; behind it stands how many there are."""
MOST_FIELDS = 200


@dataclass(frozen=True)
class Shown:
    """What a page shows of an example. All of it is text or media: nothing of it is ever read as HTML.

    Attributes:
        text: "" where it has none.
        fields: name and value of the columns of a row.
        media: pictures and sounds.
    """

    text: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    media: tuple[Medium, ...] = ()


def to_shown(value: Any, name: str = "the example") -> Shown:
    """Anything that an example can be, as what a page shows.

    Args:
        value: a ``Shown``; a text; a Path of a picture, a sound or a text; a Pillow image; an array of pixels (with
            channels in front or behind), or of up to 200 numbers; (samples, rate) of a sound; the bytes of a file;
            a dict of these, as a row of a table; or (value, label), as a torch dataset gives it. Tensors are arrays.
        name: of the example, for the error.

    Raises:
        TrainmapError: a value of another kind, or a file that cannot be shown.
    """
    if isinstance(value, Shown):
        return value
    if value is None:
        return Shown()
    if isinstance(value, str):
        return Shown(text=cut(value))
    if isinstance(value, Path):
        return of_file(value)
    if isinstance(value, bytes | bytearray):
        return Shown(media=(medium(bytes(value), name),))
    if isinstance(value, Image.Image):
        return Shown(media=(png(np.asarray(value.convert("RGBA" if value.mode in ("P", "LA", "PA") else "RGB"))),))
    if isinstance(value, Mapping):
        return _of_row(value, name)
    if _is_sound(value):
        return Shown(media=(wav(np.asarray(value[0]), int(value[1])),))
    if isinstance(value, tuple) and value:
        return to_shown(value[0], name)
    if hasattr(value, "__array__") or isinstance(value, Sequence):
        return _of_array(np.asarray(value), name)
    raise TrainmapError(
        f"{name} cannot be shown: an example is a text, a Path, an image, an array, bytes or a dict of these, got a "
        f"{type(value).__name__}"
    )


def cut(text: str) -> str:
    """A text within ``LONGEST``; what is cut off is said."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"


def of_file(path: Path) -> Shown:
    """A file: a picture, a sound, or a text in UTF-8."""
    with reading(path, "file of an example"):
        if (size := path.stat().st_size) > LARGEST:
            raise TrainmapError(f"{path.name} has {size:,} bytes; a page shows files up to {LARGEST:,}")
        content = path.read_bytes()
    if path.suffix.lower() in (".txt", ".md", ".json"):
        return Shown(text=cut(content.decode("utf-8", "replace")))
    return Shown(media=(medium(content, path.name),))


def _is_sound(value: Any) -> bool:
    return bool(
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[1], int | np.integer)
        and value[1] >= 1000
        and getattr(value[0], "ndim", 0) in (1, 2)
        and len(value[0]) > 0
    )


def _of_array(values: np.ndarray, name: str) -> Shown:
    if (pixels := pixels_of(values)) is not None:
        return Shown(media=(png(pixels),))
    if values.ndim <= 1 and values.dtype.kind in "biufU":
        flat = values.reshape(-1)
        fields = tuple((str(place), _cell(value)) for place, value in enumerate(flat[:MOST_FIELDS].tolist()))
        more = len(flat) - len(fields)
        return Shown(fields=(*fields, *([("…", f"{more:,} more")] if more > 0 else [])))
    raise TrainmapError(f"{name} cannot be shown: an array must be pixels or a row of numbers, got {values.shape}")


def _of_row(row: Mapping[Any, Any], name: str) -> Shown:
    """Texts called ``text``, media wherever they are, everything else as fields."""
    whole = Shown()
    for key, value in row.items():
        inner = _of_cell(str(key), value, name)
        whole = replace(
            whole,
            text="\n\n".join(part for part in (whole.text, inner.text) if part),
            fields=(*whole.fields, *inner.fields),
            media=(*whole.media, *inner.media),
        )
    return whole if len(whole.fields) <= MOST_FIELDS else replace(whole, fields=_first(whole.fields))


def _first(fields: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return (*fields[:MOST_FIELDS], ("…", f"{len(fields) - MOST_FIELDS:,} more columns"))


def _of_cell(key: str, value: Any, name: str) -> Shown:
    if isinstance(value, Mapping) and isinstance(value.get("bytes"), bytes):  # a picture or a sound of Hugging Face
        return to_shown(value["bytes"], name)
    if isinstance(value, Mapping) and {"array", "sampling_rate"} <= set(value):
        return to_shown((np.asarray(value["array"]), int(value["sampling_rate"])), name)
    if isinstance(value, Image.Image | Path | bytes) or (hasattr(value, "ndim") and getattr(value, "ndim", 0) > 1):
        return to_shown(value, name)
    if isinstance(value, str) and key in ("text", "text_pair", "sentence", "content"):
        return Shown(text=cut(value))
    return Shown(fields=((key, _cell(value)),))


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else cut(str(value))
