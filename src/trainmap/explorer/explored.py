"""``explore``: look at a map, in a browser, as one file or in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainmap.audits.audit import audit
from trainmap.audits.suspects import Audit
from trainmap.dynamics.index import MISSING, find_rows
from trainmap.dynamics.store import Dynamics
from trainmap.errors import StoreError, TrainmapError, counted
from trainmap.explorer.example_sources import examples_of, own_paths
from trainmap.explorer.exploration import Exploration, Side
from trainmap.explorer.notebook import notebook_view
from trainmap.explorer.one_file import MOST_BYTES, write_page
from trainmap.explorer.review_log import Review
from trainmap.explorer.web_server import serve
from trainmap.files import is_dir
from trainmap.kinds import as_path, check_kind
from trainmap.maps.datamap import DataMap
from trainmap.selection.card import Selection


class Explorer(Exploration):
    """An exploration that can be looked at; a notebook displays it as it is. Made by ``trainmap.explore``."""

    def serve(self, **options: Any) -> None:
        """Serve it until it is interrupted; see ``trainmap.explorer.serve``."""
        serve(self, **options)

    def save(self, path: str | Path, *, max_bytes: int = MOST_BYTES) -> Path:
        """Write it as one file that works offline; see ``trainmap.explorer.write_page``."""
        return write_page(self, path, max_bytes=max_bytes)

    def widget(self) -> Any:
        """The view for a notebook; see ``trainmap.explorer.notebook_view``."""
        return notebook_view(self)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        try:
            return self.widget()._repr_mimebundle_(**options)
        except TrainmapError as error:  # a notebook without anywidget: what it is, and what to install
            return {"text/plain": f"{self!r}\n{error}"}


def explore(
    what: Any,
    data: Any = None,
    *,
    recording: Dynamics | None = None,
    beside: Any = None,
    selections: Mapping[str, Selection] | Selection | None = None,
    class_names: Sequence[str] | None = None,
    review: str | Path | None = None,
    data_root: str | Path | None = None,
) -> Explorer:
    """Look at a map: every example in its place, how it was learned, what it is, and what its label should be.

    Args:
        what: a recording, a map, or the path of one. With a map alone there are no epochs to replay and no suggested
            labels: pass its ``recording``.
        data: what the ids stand for; see ``trainmap.explorer.examples_of``. Ids that are paths of pictures, sounds or
            texts in the working folder need none.
        recording: what a map was made from.
        beside: another recording or map of the same examples (or its path): teacher and student, before and after.
        selections: a card, or cards by name, to colour and filter by.
        class_names: by their numbers; those of the recording or of the data unless told.
        review: the file in which decisions about labels are kept, one line each; beside the recording or map for a
            path, in memory otherwise.
        data_root: where named datasets are.

    Raises:
        TrainmapError: things that do not belong together.
    """
    path = as_path(what) if isinstance(what, str | Path) else None
    side = _side(what, recording)
    if isinstance(selections, Selection):
        selections = {selections.spec: selections}
    chosen = dict(selections or {})
    for card in chosen.values():
        check_kind(card, Selection)
    notes: list[str] = []
    examples = own_paths(side.datamap.ids) if data is None else examples_of(data, side.datamap.ids, data_root)
    if examples is None:
        notes.append("The examples themselves are not shown: nobody said where the data is (--data, or data=...).")
    found = _audited(side.recording, notes)
    names = tuple(map(str, class_names or getattr(side.recording, "class_names", None) or ()))
    names = names or (() if examples is None else examples.class_names)
    second = None if beside is None else _beside(beside, side, notes)
    if review is None and (path is not None or side.recording is not None):
        near = path if path is not None else side.recording.path  # type: ignore[union-attr]
        review = near.with_name(f"{near.name if is_dir(near) else near.stem}.review.jsonl")
    log_of = Review(None if review is None else as_path(review), side.datamap.dataset, len(side.datamap))
    return Explorer(side.name, side, second, examples, found, chosen, log_of, names, tuple(notes))


def map_of_card(card: Path) -> Path:
    """The map that a card was made from, where it lies beside the card.

    Raises:
        StoreError: no such map there.
    """
    wanted = Selection.open(card).map
    for path in sorted(card.absolute().parent.glob("*.parquet")):
        try:
            if DataMap.open(path).fingerprint == wanted:
                return path
        except StoreError:  # another table
            continue
    raise StoreError(f"the map of {card} is not beside it; name it: --map MAP")


def _side(what: Any, recording: Dynamics | None = None) -> Side:
    name = ""
    if isinstance(what, str | Path):
        path = as_path(what)
        name = path.resolve().name
        if path.suffix == ".json":
            raise StoreError(f"{path} is a card; give its map, and the card as a selection")
        what = DataMap.open(path) if path.suffix == ".parquet" else Dynamics.open(path)
    check_kind(what, Dynamics, DataMap)
    if isinstance(what, Dynamics):
        return Side(DataMap.from_dynamics(what), what, name or what.path.resolve().name)
    if recording is not None:
        check_kind(recording, Dynamics)
        if recording.fingerprint != what.dataset:
            raise TrainmapError(
                "the recording has other ids or labels than the map; give the one that it was made from"
            )
    return Side(what, recording, name or "data map")


def _beside(beside: Any, first: Side, notes: list[str]) -> Side:
    second = _side(beside)
    ids, others = first.datamap.ids, second.datamap.ids
    rows = find_rows(others, ids)
    if (lacking := int((rows == MISSING).sum())) == len(ids):
        raise TrainmapError(f"none of the {len(ids):,} ids is in both; two maps side by side are of the same examples")
    name = second.name if second.name != first.name else f"{second.name} (2)"
    if lacking:
        notes.append(f"{lacking:,} of {counted(len(ids), 'example')} are not in {name} and have no place there.")
    return Side(second.datamap, second.recording, name, rows)


def _audited(recording: Dynamics | None, notes: list[str]) -> Audit | None:
    if recording is None:
        notes.append("No suggested labels and no epochs: this is a map alone. Explore its recording to have them.")
        return None
    try:
        return audit(recording)
    except TrainmapError as error:
        notes.append(f"No suggested labels: {error}.")
        return None
