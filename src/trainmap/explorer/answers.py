"""What a page asks and what it is answered: a path and a query -> bytes. The server and the notebook share it.

header                    JSON: what there is
column/NAME               one column, little-endian
frame/E[?side=second]     the map after E epochs: confidence, variability (float32), predicted (int32), (N,) each
ids?rows=3,17             JSON: the ids, as texts
example/ROW               JSON: text, fields, and what media there are
media/ROW/K               the bytes of a picture or a sound; thumb/ROW: of the first picture, made small
trajectory/ROW[?side=second]  JSON: the signals epoch by epoch
find?text=...             rows whose id or text has it, uint32
review                    JSON: the decisions; POST one to keep it
export/KIND               POST rows or nothing -> a file: selection (a card), sheet (of the decisions)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainmap.errors import TrainmapError, shown
from trainmap.explorer.encoded import Medium, small
from trainmap.explorer.exploration import Exploration, row_of
from trainmap.explorer.replay import frame, has_replay, trajectory
from trainmap.explorer.review_log import Decision, relabel_sheet, write_sheet
from trainmap.explorer.shown import Shown
from trainmap.selection.card import Selection

THUMB = 96
"""Pixels of a side of a small picture."""
MOST_ROWS = 2000
"""Ids in one answer."""
JSON = "application/json"
BYTES = "application/octet-stream"


@dataclass(frozen=True)
class Answer:
    """Bytes with their type, and the name under which they are saved, where they are."""

    content: bytes
    type: str
    name: str = ""


def answer(exploration: Exploration, path: str, query: Mapping[str, str], body: Any = None) -> Answer:
    """Answer one question of a page.

    Args:
        path: see above.
        query: what stands behind the question mark.
        body: parsed JSON of a POST; None for a GET.

    Raises:
        TrainmapError: a question that cannot be answered, in one line.
    """
    word, *rest = path.split("/")
    table = ASKED if body is None else POSTED
    if word not in table:
        raise TrainmapError(f"a page cannot ask for {shown(path)}")
    return table[word](exploration, rest, query if body is None else body)


def _json(value: Any) -> Answer:
    return Answer(json.dumps(value, allow_nan=False).encode(), JSON)


def _header(exploration: Exploration, rest: list[str], query: Any) -> Answer:
    return _json(exploration.header())


def _column(exploration: Exploration, rest: list[str], query: Any) -> Answer:
    name = "/".join(rest)
    if name not in exploration.columns:
        raise TrainmapError(f"there is no column {shown(name)}")
    return Answer(_little(exploration.columns[name]), BYTES)


def _little(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False)).tobytes()


def _frame(exploration: Exploration, rest: list[str], query: Mapping[str, str]) -> Answer:
    second = query.get("side") == "second"
    side = exploration.second if second else exploration.first
    if side is None or side.recording is None or not has_replay(side.recording):
        raise TrainmapError("there are no epochs to replay")
    epochs = _number(rest, side.recording.epochs, least=1)
    confidence, variability, guess = frame(side.recording, epochs)
    columns = (side.of(confidence, np.nan), side.of(variability, np.nan), side.of(guess, -1))
    return Answer(
        b"".join(_little(one.astype(t)) for one, t in zip(columns, (np.float32, np.float32, np.int32))), BYTES
    )


def _number(rest: list[str], most: int, least: int = 0) -> int:
    word = rest[0] if rest else ""
    if not word.isascii() or not word.isdigit() or not least <= int(word[:12]) <= most:
        raise TrainmapError(f"a number from {least} to {most} is needed, got {shown(word)}")
    return int(word)


def _ids(exploration: Exploration, rest: list[str], query: Mapping[str, str]) -> Answer:
    rows = query.get("rows", "").split(",")[:MOST_ROWS]
    return _json([str(row_of(exploration, _number([row], len(exploration) - 1))) for row in rows if row])


def shown_of(exploration: Exploration, row: int) -> Shown | None:
    """One example; None where nobody said where they are."""
    key = row_of(exploration, row)
    return None if exploration.examples is None else exploration.examples.of(key)


def _example(exploration: Exploration, rest: list[str], query: Any) -> Answer:
    row = _number(rest, len(exploration) - 1)
    return _json({"id": str(row_of(exploration, row)), **described(exploration, row)})


def described(exploration: Exploration, row: int) -> dict[str, Any]:
    """An example for JSON, its media by their kinds; where it cannot be shown, why."""
    try:
        found = shown_of(exploration, row) or Shown()
    except TrainmapError as error:
        return {"text": "", "fields": [], "media": [], "error": str(error)}
    media = [one.kind for one in found.media]
    return {"text": found.text, "fields": [list(pair) for pair in found.fields], "media": media, "error": ""}


def _media(exploration: Exploration, rest: list[str], query: Any) -> Answer:
    found = shown_of(exploration, _number(rest, len(exploration) - 1))
    media = () if found is None else found.media
    one = media[_number(rest[1:], len(media) - 1)] if media else _nothing()
    return Answer(one.content, one.type)


def _nothing() -> Medium:
    raise TrainmapError("this example has no picture and no sound")


def _thumb(exploration: Exploration, rest: list[str], query: Any) -> Answer:
    found = shown_of(exploration, _number(rest, len(exploration) - 1))
    pictures = [one for one in (() if found is None else found.media) if one.kind == "image"]
    one = (small(pictures[0], THUMB) or pictures[0]) if pictures else _nothing()
    return Answer(one.content, one.type)


def _trajectory(exploration: Exploration, rest: list[str], query: Mapping[str, str]) -> Answer:
    side = exploration.second if query.get("side") == "second" else exploration.first
    row = _number(rest, len(exploration) - 1)
    if side is None or side.recording is None or not side.recording.signals:
        return _json({})
    where = row if side.rows is None else int(side.rows[row])
    return _json({} if where < 0 else trajectory(side.recording, where))


def _find(exploration: Exploration, rest: list[str], query: Mapping[str, str]) -> Answer:
    wanted = query.get("text", "").casefold()
    ids = exploration.datamap.ids.tolist()
    examples = exploration.examples
    rows = []
    for row, key in enumerate(ids):
        hit = wanted in str(key).casefold()
        if not hit and examples is not None and examples.texts:
            hit = wanted in shown_of(exploration, row).text.casefold()  # type: ignore[union-attr]
        if hit:
            rows.append(row)
    return Answer(np.asarray(rows, "<u4").tobytes(), BYTES)


def _review(exploration: Exploration, rest: list[str], query: Any) -> Answer:
    return _json([_told(exploration, one) for one in exploration.review.decisions])


def _told(exploration: Exploration, one: Decision) -> dict[str, Any]:
    ids = exploration.datamap.ids
    row = int(np.searchsorted(ids, np.asarray([one.id], ids.dtype))[0])
    return {"row": row, "decision": one.decision, "label": one.label}


def _decide(exploration: Exploration, rest: list[str], body: Any) -> Answer:
    if not isinstance(body, dict) or type(body.get("row")) is not int:
        raise TrainmapError("a decision is {row, decision, label}")
    row, label = body["row"], body.get("label")
    if label is not None and (type(label) is not int or not 0 <= label < exploration.classes):
        raise TrainmapError(f"label must be 0 to {exploration.classes - 1}, got {shown(label)}")
    before = int(exploration.columns["label"][row]) if 0 <= row < len(exploration) else -1
    decision = Decision(row_of(exploration, row), body.get("decision"), label, before if before >= 0 else None)
    exploration.review.decide(decision)
    return _json({"kept": len(exploration.review)})


def _export(exploration: Exploration, rest: list[str], body: Any) -> Answer:
    kind = rest[0] if rest else ""
    if kind not in EXPORTS:
        raise TrainmapError(f"an export is {', '.join(EXPORTS)}, got {shown(kind)}")
    return EXPORTS[kind](exploration, body)


def _selection(exploration: Exploration, body: Any) -> Answer:
    """A card and its ids, beside the recording or map: two files that belong together are no download."""
    if not isinstance(body, dict) or not isinstance(body.get("rows"), list) or not body["rows"]:
        raise TrainmapError("select examples first: a card has at least one")
    rows = sorted({row for row in body["rows"] if type(row) is int and 0 <= row < len(exploration)})
    ids = exploration.datamap.ids[np.asarray(rows, np.int64)]
    card = Selection.of(exploration.datamap, ids, str(body.get("spec") or "chosen by hand in the explorer"))
    path = free_name(place_of(exploration), "selection", ".json")
    card.save(path)
    return _json({"path": str(path), "examples": len(card)})


def _sheet(exploration: Exploration, body: Any) -> Answer:
    """The relabel sheet, beside the recording or map."""
    sheet = relabel_sheet(exploration.review.decisions, exploration.class_names)
    if not len(sheet):
        raise TrainmapError("nothing was decided yet: review labels first")
    path = free_name(place_of(exploration), "relabel", ".csv")
    write_sheet(sheet, path)
    return _json({"path": str(path), "examples": len(sheet)})


def place_of(exploration: Exploration) -> Path:
    """The folder for what is exported: where the review is; the working folder without one."""
    return Path.cwd() if exploration.review.path is None else exploration.review.path.absolute().parent


def free_name(folder: Path, stem: str, suffix: str) -> Path:
    """``stem-1``, ``stem-2``, ...: the first that is not there yet. Nothing is written over."""
    number = 1
    while (path := folder / f"{stem}-{number}{suffix}").exists():
        number += 1
    return path


EXPORTS: dict[str, Callable[[Exploration, Any], Answer]] = {"selection": _selection, "sheet": _sheet}
ASKED: dict[str, Callable[[Exploration, list[str], Any], Answer]] = {
    "header": _header,
    "column": _column,
    "frame": _frame,
    "ids": _ids,
    "example": _example,
    "media": _media,
    "thumb": _thumb,
    "trajectory": _trajectory,
    "find": _find,
    "review": _review,
}
POSTED: dict[str, Callable[[Exploration, list[str], Any], Answer]] = {"review": _decide, "export": _export}
