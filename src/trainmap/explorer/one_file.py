"""The explorer as one file that works offline and can be mailed: columns, epochs and small pictures stand in it.

What does not fit is left out from the end of this list, and both the page and the caller are told:
scores and labels (always there), the map after each epoch and what was predicted, losses and margins, examples: those
whose labels look wrong first, then the least confident.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import TrainmapError, counted, whole
from trainmap.explorer.answers import THUMB, described, shown_of
from trainmap.explorer.encoded import SVG, Medium, small
from trainmap.explorer.exploration import Exploration, Side
from trainmap.explorer.page_script import script, style
from trainmap.explorer.web_server import check_kind_of
from trainmap.files import writing
from trainmap.kinds import as_path

Array = NDArray[Any]
log = logging.getLogger("trainmap")

MOST_BYTES = 100_000_000
"""Of a file, unless told: what a browser opens at once and most people can send."""
SIGNALS = (("p_gold", "predicted"), ("loss", "margin"))
"""What is kept of the epochs, the more important first."""
UNSEEN = 65535
LONGEST_SOUND = 200_000
"""Bytes of a sound that goes into the file."""


def write_page(exploration: Exploration, path: str | Path, *, max_bytes: int = MOST_BYTES) -> Path:
    """Write an exploration as one HTML file.

    p(gold) is kept in steps of 1 / 65534, losses and margins in half precision; scores as they are on the page, in
    single precision. Pictures are made small, 96 pixels a side; sounds are kept up to 200 kB.

    Args:
        path: FILE.html.
        max_bytes: how large the file may be; what is left out for it is said in the file and logged ("trainmap").

    Returns:
        the path.

    Raises:
        TrainmapError: another ending, or scores that alone are larger than ``max_bytes``.
    """
    check_kind_of(exploration)
    target = as_path(path)
    if target.suffix not in (".html", ".htm"):
        raise TrainmapError(f"a page is HTML: its name must end in .html, got {target.name}")
    limit = whole(max_bytes, "max_bytes", 1)
    content = page_text(exploration, limit)
    with writing(target) as handle:
        handle.write(content.encode("utf-8", "replace"))
    return target


@dataclass
class _Room:
    """How many bytes are left."""

    left: int

    def takes(self, size: int) -> bool:
        """Whether so many still fit; then they are taken."""
        if size > self.left:
            return False
        self.left -= size
        return True


def page_text(exploration: Exploration, limit: int) -> str:
    """The whole file as text; see ``write_page``."""
    code, look = script(), style()
    columns = {name: _base64(values) for name, values in exploration.columns.items()}
    ids = None if exploration.header()["numbered"] else _json([str(one) for one in exploration.datamap.ids.tolist()])
    fixed = len(code) + len(look) + sum(map(len, columns.values())) + len(ids or "") + 20_000
    room = _Room(limit - fixed)
    if room.left < 0:
        raise TrainmapError(
            f"the scores of {counted(len(exploration), 'example')} alone take {fixed:,} bytes, max_bytes is {limit:,}; "
            "raise it, or make the map with fewer scores"
        )
    notes: list[str] = []
    signals = _signals(exploration, room, columns, notes)
    examples = _examples(exploration, room, notes)
    for note in notes:
        log.warning("%s", note)
    header = exploration.header()
    header["notes"] = [*header["notes"], *notes]
    header["replay"] = "p_gold" in signals.get("first", {})
    header["secondReplay"] = "p_gold" in signals.get("second", {})
    header["signals"] = list(signals.get("first", {}))
    about = {
        "header": header,
        "dataset": exploration.datamap.dataset,
        "places": list(columns),
        "signals": signals,
    }
    data = [("about", _json(about)), ("examples", examples), *([] if ids is None else [("ids", ids)])]
    data += [(f"column-{place}", text) for place, text in enumerate(columns.values())]
    return _html(exploration.title, code, look, data)


def _html(title: str, code: str, look: str, data: list[tuple[str, str]]) -> str:
    policy = (
        f"default-src 'none'; script-src '{_sha(code)}' 'unsafe-eval'; style-src '{_sha(look)}'; "
        "img-src data: blob:; media-src data: blob:; worker-src blob:; base-uri 'none'; form-action 'none'"
    )
    blocks = "".join(f'<script type="application/json" id="tm-{name}">{text}</script>\n' for name, text in data)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="generator" content="trainmap">\n'
        f"<title>{escape(title)} · trainmap</title>\n<style>{look}</style>\n</head>\n"
        '<body><div id="trainmap-explorer" class="tm-explorer" data-source="file"></div>\n'
        f'{blocks}<script type="module">{code}</script>\n</body>\n</html>\n'
    )


def _sha(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(value: Any) -> str:
    """JSON in which no text ends the element that it stands in."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _base64(values: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()).decode()


def _sides(exploration: Exploration) -> Iterator[tuple[str, Side]]:
    yield "first", exploration.first
    if exploration.second is not None:
        yield "second", exploration.second


def _signals(
    exploration: Exploration, room: _Room, columns: dict[str, str], notes: list[str]
) -> dict[str, dict[str, str]]:
    """What of the epochs stands in the file, side -> signal -> type; their columns are added."""
    kept: dict[str, dict[str, str]] = {}
    for group in SIGNALS:
        for side, one in _sides(exploration):
            recording = one.recording
            names = [name for name in group if recording is not None and name in recording.signals]
            if recording is None or not names:
                continue
            size = sum(4 * (len(exploration) * recording.epochs * _bytes(name) + 2) // 3 for name in names)
            if not room.takes(size):
                notes.append(
                    f"{' and '.join(names)} of {counted(recording.epochs, 'epoch')} of {one.name} are left out: they "
                    f"would take {size:,} bytes more than this file may have."
                )
                continue
            for name in names:
                values = np.stack([_packed(name, one, epoch) for epoch in range(recording.epochs)])
                columns[f"{side}:{name}"] = _base64(values)
                kept.setdefault(side, {})[name] = values.dtype.name
    return kept


def _bytes(name: str) -> int:
    return 4 if name == "predicted" else 2


def _packed(name: str, side: Side, epoch: int) -> Array:
    """One signal of one epoch in the rows of the page, in the fewest bytes that say it."""
    assert side.recording is not None
    values = side.recording.column(epoch, name)
    if name == "predicted":
        return side.of(values, -1).astype(np.int32)
    values = side.of(values, np.nan)
    if name == "p_gold":
        steps = np.rint(np.nan_to_num(values.astype(np.float64)) * (UNSEEN - 1))
        return np.where(np.isnan(values), UNSEEN, steps).astype(np.uint16)
    with np.errstate(over="ignore"):  # a loss beyond 65504 is infinite in half precision: at the edge of its chart
        return values.astype(np.float16)


def _examples(exploration: Exploration, room: _Room, notes: list[str]) -> str:
    """The examples that fit, as JSON."""
    if exploration.examples is None:
        return "[]"
    parts: list[str] = []
    for row in _in_order(exploration):
        one = described(exploration, row)
        found = None if one["error"] else shown_of(exploration, row)
        urls = [] if found is None else [_url(medium) for medium in found.media]
        one["urls"] = [url for url in urls if url]
        one["media"] = [kind for kind, url in zip(one["media"], urls) if url]
        text = _json({"row": row, **one})
        if not room.takes(len(text) + 1):
            break
        parts.append(text)
    if (lacking := len(exploration) - len(parts)) > 0:
        notes.append(
            f"{lacking:,} of {counted(len(exploration), 'example')} are left out of this file (its limit is reached); "
            "suspicious labels and unconfident examples are in it. Serve the map to see all."
        )
    return f"[{','.join(parts)}]"


def _in_order(exploration: Exploration) -> list[int]:
    """Rows, the more wanted first."""
    confidence = exploration.columns["score/confidence"]
    suspected = exploration.columns.get("suspected", np.zeros(len(exploration)))
    suspicion = np.nan_to_num(exploration.columns.get("suspicion", np.zeros(len(exploration))), nan=-np.inf)
    by = np.lexsort(
        (np.nan_to_num(confidence, nan=2), np.where(suspected == 1, -suspicion, 0), -suspected.astype(np.int8))
    )
    return by.tolist()


def _url(one: Medium) -> str:
    """A medium in the file; "" where it is too large for one."""
    made = small(one, THUMB)
    if made is None and len(one.content) <= (LONGEST_SOUND if one.type != SVG else 20_000):
        made = one
    return "" if made is None else f"data:{made.type};base64,{base64.b64encode(made.content).decode()}"
