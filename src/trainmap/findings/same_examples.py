"""Examples that stand twice: the same text but for capitals and signs, the same pixels, or pictures that look the same.

Pictures are compared by their bytes and, where ImageHash is installed, by its perceptual hash (pHash, 64 bits): equal
hashes look alike to a person, also after another compression or a slight change of size or light. Small pictures
(below ``LEAST_PIXELS`` a side) have too little in them for it and are compared by their bytes alone.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import TrainmapError
from trainmap.explorer.example_sources import Examples
from trainmap.explorer.shown import Shown

Array = NDArray[Any]

LEAST_PIXELS = 32
NAMES = ("id", "Id", "ID", "idx", "guid", "label", "split")
"""Fields that say who an example is, or what it was given; not what it is."""


@dataclass(frozen=True)
class Same:
    """Examples that are the same, or look it.

    Attributes:
        ids: ascending.
        labels: theirs, in the order of ``ids``.
        how: "the same" or "look the same".
    """

    ids: tuple[int | str, ...]
    labels: tuple[int, ...]
    how: str

    @property
    def differ(self) -> bool:
        """Whether their labels differ: at most one of them is right."""
        return len(set(self.labels)) > 1


def find_same(
    examples: Examples, ids: Array, labels: Array, on_progress: Callable[[int], object] | None = None
) -> list[Same]:
    """Groups of examples that are the same: those whose labels differ first, then the larger.

    Args:
        ids, labels: (n,) the examples that are compared. Each is loaded once; one that cannot be is left out.
        on_progress: called with 1 after each.
    """
    whole: dict[str, list[int]] = {}
    alike: dict[str, list[int]] = {}
    for place, key in enumerate(ids.tolist()):
        try:
            shown = examples.of(key)
        except TrainmapError:
            continue
        finally:
            if on_progress is not None:
                on_progress(1)
        if (content := content_of(shown)) is not None:
            whole.setdefault(content, []).append(place)
        if (look := look_of(shown)) is not None:
            alike.setdefault(look, []).append(place)
    groups = {tuple(places): "the same" for places in whole.values() if len(places) > 1}
    for places in alike.values():
        if len(places) > 1 and not any(set(places) <= set(known) for known in groups):
            groups[tuple(places)] = "look the same"
    found = [
        Same(tuple(ids[list(places)].tolist()), tuple(labels[list(places)].tolist()), how)
        for places, how in groups.items()
    ]
    return sorted(found, key=lambda same: (not same.differ, -len(same.ids), str(same.ids[0])))


def content_of(shown: Shown) -> str | None:
    """What an example is, as a key: its text without capitals, signs and spaces, its fields, the bytes of its media."""
    words = " ".join(re.findall(r"\w+", shown.text.casefold()))
    fields = [(name, value) for name, value in shown.fields if name not in NAMES]
    if not (words or fields or shown.media):
        return None
    digest = hashlib.sha256(words.encode())
    for name, value in fields:
        digest.update(f"\0{name}\0{value}".encode())
    for medium in shown.media:
        digest.update(b"\0" + medium.content)
    return digest.hexdigest()


def look_of(shown: Shown) -> str | None:
    """The perceptual hash of a picture; None without one, without ImageHash, or where it is small or of one colour."""
    picture = next((medium for medium in shown.media if medium.kind == "image"), None)
    if picture is None or shown.text:
        return None
    try:
        import imagehash
    except ImportError:
        return None
    from PIL import Image

    try:
        opened = Image.open(io.BytesIO(picture.content))
        if min(opened.size) < LEAST_PIXELS:
            return None
        grey = opened.convert("L")
    except (OSError, ValueError):
        return None
    return str(imagehash.phash(grey)) if np.ptp(np.asarray(grey)) > 16 else None


def can_look() -> bool:
    """Whether pictures are compared by their look as well."""
    from importlib.util import find_spec

    return find_spec("imagehash") is not None
