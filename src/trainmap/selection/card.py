"""Selection: the ids to train on and what they came from, as a card that can be kept, checked and shared."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainmap.checksums import KEY, sealed, unsealed, without_checksum
from trainmap.dynamics.arrays import to_ids, to_labels
from trainmap.dynamics.given import check_flag
from trainmap.dynamics.index import MISSING, find_rows, ids_from_arrow, ids_to_arrow, sort_ids
from trainmap.dynamics.store import fingerprint
from trainmap.errors import StoreError, TrainmapError, short, some, whole
from trainmap.files import as_json, as_written, read_json, reading, writing
from trainmap.integrations.identified import check_indexed, known_ids
from trainmap.kinds import as_path, check_kind, check_path
from trainmap.maps.datamap import DataMap
from trainmap.parquet_files import read_parquet
from trainmap.selection.subset import column_of_ids, taken
from trainmap.told import Lines, Told
from trainmap.typed import as_type, of_type

Array = NDArray[Any]

FORMAT = "trainmap-selection"
VERSION = 2  # 1 did not say whether ids can be positions, nor had it a checksum
CARD = 1 << 20  # bytes that a card has at most, where cards are looked for


@dataclass(frozen=True)
class Taken:
    """What one part of the plan took: ``passed_over`` better examples belonged to an earlier part already."""

    part: str
    size: int
    passed_over: int


@dataclass(frozen=True, eq=False, repr=False)
class Selection(Told):
    """Chosen examples; made by ``trainmap.select``, ``Selection.of`` or ``Selection.open``.

    Attributes:
        ids: (k,) distinct, ascending; int64 or str, as in the dataset.
        spec: what was asked for.
        seed: of the random parts.
        balance: None, "equal" or "proportional".
        rule: of the regions.
        examples: N, how many there were to choose from.
        parts: what each part took.
        dataset: fingerprint of the dataset's ids and labels.
        map: fingerprint of the map.
        numbered: whether the map's ids were 0 to N - 1, so that an id can be the place of an example.
    """

    ids: Array
    spec: str
    seed: int
    balance: str | None
    rule: str
    examples: int
    parts: tuple[Taken, ...]
    dataset: str
    map: str
    numbered: bool = False

    def told(self) -> Lines:
        """What it is in a few lines."""
        first = ", ".join(map(str, self.ids[:5].tolist())) + (", ..." if len(self) > 5 else "")
        return "Selection", {
            "examples": f"{len(self):,} of {self.examples:,} ({self.fraction:.1%}), seed {self.seed}",
            "asked for": self.spec,
            "parts": "; ".join(f"{part.part}: {part.size:,}" for part in self.parts),
            "ids": first,
            "use": "selection.subset(dataset), selection.positions(ids), selection.mask(ids)",
        }

    @staticmethod
    def of(datamap: DataMap, ids: Any, spec: str, seed: int = 0) -> Selection:
        """Ids that were chosen elsewhere (by a schedule, by hand) as a selection with a card.

        Args:
            datamap: of the dataset that they were chosen from.
            ids: (k,) distinct ids of the map, at least one, in any order.
            spec: how they were chosen, in words: the card keeps it, nothing reads it.
            seed: of the choice.

        Raises:
            TrainmapError: no ids, ids that repeat or are not in the map.
        """
        check_kind(datamap, DataMap)
        chosen = sort_ids(to_ids(ids))[0]
        selection = Selection(
            ids=chosen,
            spec=spec,
            seed=whole(seed, "seed"),
            balance=None,
            rule=datamap.rule,
            examples=len(datamap),
            parts=(Taken(spec, len(chosen), 0),),
            dataset=datamap.dataset,
            map=datamap.fingerprint,
            numbered=are_numbers(datamap.ids),
        )
        selection.mask(datamap.ids)
        return selection

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def fraction(self) -> float:
        """The share of the dataset that is kept."""
        return len(self.ids) / self.examples

    def mask(self, ids: Any) -> Array:
        """(n,) bool: which of these ids are selected. An id of the selection that is not among them is an error."""
        ids = self._like_its_own(ids)
        self._refuse_lost(np.setdiff1d(self.ids, ids))
        return np.isin(ids, self.ids)

    def positions(self, ids: Any) -> Array:
        """Where the selected examples stand in a dataset.

        Args:
            ids: (N,) the ids of the dataset's items in their order, all different: ``ids[j]`` is the id of item j.

        Returns:
            (k,) int64, in the order of the selection: ``ids[positions]`` is ``self.ids``. Sorted, they are in the
            dataset's order.

        Raises:
            TrainmapError: ids of another kind, ids that repeat, a selected id that is not among them.
        """
        ids = self._like_its_own(ids)
        places = find_rows(ids, self.ids, sort_ids(ids)[1])
        self._refuse_lost(self.ids[places == MISSING])
        return places

    def subset(self, dataset: Any, ids: Any = None) -> Any:
        """The selected examples of a dataset that is indexed by position, in the order of ``self.ids``.

        Args:
            dataset: a map-style PyTorch dataset or a list (gives a ``torch.utils.data.Subset``), a Hugging Face dataset
                (gives one, by its ``select``) or a numpy array (gives its rows).
            ids: (N,) the ids of its items in their order. None: those that ``with_ids`` gave it, or a ``Subset`` of it;
                without, item i is the example i, only where the map's ids were 0 to N - 1 and the dataset has N items;
                otherwise the column ``id`` of a Hugging Face dataset.

        Raises:
            TrainmapError: a dataset of another length than ``ids``, or without a length; what ``positions`` refuses; no
                ids where an id is no position, or where a column ``id`` has the same numbers in another order.
        """
        check_indexed(dataset)
        count = len(dataset)
        ids = known_ids(dataset) if ids is None else ids
        if ids is not None:
            if (given := len(to_ids(ids))) != count:
                raise TrainmapError(f"ids must be one for each of the dataset's {count:,} items, got {given:,}")
            return taken(dataset, self.positions(ids))
        column = column_of_ids(dataset)
        if not (self.numbered and count == self.examples):
            if column is not None:
                return taken(dataset, self.positions(column))
            why = f"the dataset has {count:,} items" if self.numbered else "the map's ids were others, or are not known"
            raise TrainmapError(
                f"without ids an id must be a position (the map's ids 0 to {self.examples - 1} and as many items), but "
                f"{why}; pass ids, the id of every item in the dataset's order, as with_ids(dataset, ids) does too"
            )
        if column is not None and are_numbers(np.sort(column)) and not are_in_order(column):
            raise TrainmapError(
                "the dataset's column 'id' has the numbers 0 to N - 1 in another order than its rows: pass "
                "ids=dataset['id'] where the recording's ids are that column, ids=range(len(dataset)) where they are "
                "the places of the rows"
            )
        return taken(dataset, self.ids)

    def _like_its_own(self, ids: Any) -> Array:
        """Ids of a dataset; those of another kind are refused."""
        ids = to_ids(ids)
        if len(ids) and (ids.dtype.kind == "U") != (self.ids.dtype.kind == "U"):
            raise TrainmapError(f"the selection's ids are {_kind(self.ids)}, the dataset's are {_kind(ids)}")
        return ids

    def _refuse_lost(self, lost: Array) -> None:
        if len(lost):
            raise TrainmapError(f"{len(lost)} selected ids are not in the dataset (first: {some(lost.tolist())})")

    def diff(self, other: Selection) -> Difference:
        """Which examples two selections of one dataset share, and which only one of them has."""
        check_kind(other, Selection)
        if self.dataset != other.dataset:
            raise TrainmapError("the two selections were made from different datasets: their ids do not mean the same")
        return Difference(
            shared=np.intersect1d(self.ids, other.ids, assume_unique=True),
            only_first=np.setdiff1d(self.ids, other.ids, assume_unique=True),
            only_second=np.setdiff1d(other.ids, self.ids, assume_unique=True),
        )

    def verify(self, ids: Any, labels: Any = None) -> None:
        """Check that the selection was made for this dataset: the same ids with the same labels, in any order.

        Args:
            ids: (N,) the dataset's ids, or a value with ``ids`` and ``y`` (a ``trainmap.data.dataset.Dataset``).
            labels: (N,) its gold labels.

        Raises:
            TrainmapError: says what differs.
        """
        if labels is None:
            if not (hasattr(ids, "ids") and hasattr(ids, "y")):
                raise TrainmapError("verify needs ids and labels, or a dataset that has both")
            ids, labels = ids.ids, ids.y
        ids, labels = to_ids(ids), to_labels(labels)
        if len(ids) != self.examples:
            raise TrainmapError(f"the selection was made from {self.examples} examples, this dataset has {len(ids)}")
        self.mask(ids)
        if fingerprint(ids, labels) != self.dataset:
            raise TrainmapError("this dataset has other ids or labels than the one that the selection was made from")

    def save(self, path: str | Path) -> Path:
        """Write the card as JSON and the ids beside it as Parquet (``card.json``, ``card.ids-0123456789ab.parquet``).

        Each is written whole or not at all, the ids first. Their checksum is in the card and in their name, so that
        saving over a card never touches the ids of the old one: they go when the new card is there. A kill between
        leaves the old selection or the new one.
        """
        target = as_path(path)
        if target.suffix != ".json":
            raise TrainmapError(f"a card is JSON: its name must end in .json, got {target.name}")
        sha = _sha(self.ids)
        beside, before = _beside(target, sha), _ids_of(target)
        with writing(beside) as handle:
            pq.write_table(pa.table({"id": ids_to_arrow(self.ids)}), handle)
        about = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        about |= {"parts": [asdict(part) for part in self.parts], "ids": beside.name, "sha256": sha}
        with writing(target) as handle:
            handle.write(as_json(sealed({"format": FORMAT, "version": VERSION, "size": len(self), **about})))
        if before is not None and before != beside:
            with suppress(OSError):  # somebody has it open, on Windows
                before.unlink(missing_ok=True)
        return target

    @staticmethod
    def open(path: str | Path, verify: bool = True) -> Selection:
        """Open a card and its ids, and check that they belong together.

        Args:
            path: of the card.
            verify: compare the card with its checksum (cards of 0.1 have none), and the ids with theirs.

        Raises:
            StoreError: no card, another file, a newer one, one with something missing; ids that are missing or changed.
        """
        verify = check_flag(verify, "verify")
        check_path(path, "selection")
        card = Path(path)
        about = _read_card(card, verify)
        beside = card.parent / about.pop("ids")
        column = read_parquet(beside, f"file of the ids of {card.name}", ["id"], "make the selection again")["id"]
        with reading(beside, f"file of the ids of {card.name}", "make the selection again"):
            ids = to_ids(ids_from_arrow(column))
        sha, size = about.pop("sha256"), about.pop("size")
        if len(ids) != size or (verify and _sha(ids) != sha):
            raise StoreError(f"{beside} was changed: its ids are not those of {card.name}")
        return Selection(ids=ids, **about)


@dataclass(frozen=True, eq=False)
class Difference:
    """Two selections side by side; every array is of ids, ascending.

    Attributes:
        shared: in both.
        only_first: in the first alone.
        only_second: in the second alone.
    """

    shared: Array
    only_first: Array
    only_second: Array

    @property
    def overlap(self) -> float:
        """Shared examples as a fraction of all that either has (Jaccard)."""
        return len(self.shared) / (len(self.shared) + len(self.only_first) + len(self.only_second))


def _read_card(card: Path, verify: bool = True) -> dict[str, Any]:
    """What a card says, with every entry there."""
    written: Any = read_json(card, "card", "make it again")
    about = without_checksum(written) if isinstance(written, dict) else written
    if not isinstance(about, dict) or about.pop("format", None) != FORMAT:
        raise StoreError(f"{card} is not a card of trainmap: 'format' must be '{FORMAT}'")
    version = about.pop("version", None)
    if type(version) is not int or version > VERSION:
        raise StoreError(
            f"{card} has card version {short(str(version))}, this trainmap reads up to {VERSION}: upgrade it"
        )
    if version == 1:
        about.setdefault("numbered", False)
    expected = {entry.name for entry in fields(Selection)} | {"size", "sha256"}
    lacking = {KEY} if version > 1 and KEY not in written else set()
    if wrong := expected.symmetric_difference(about) | lacking:
        raise StoreError(f"{card} was changed: {some(sorted(wrong))} is missing or does not belong; make it again")
    try:
        for name in ("ids", "spec", "rule", "dataset", "map", "sha256"):
            of_type(about[name], str, name)
        for name in ("seed", "examples", "size"):
            of_type(about[name], int, name)
        of_type(about["balance"], (str, type(None)), "balance")
        if not isinstance(about["numbered"], bool):
            raise TypeError(f"'numbered' cannot be {as_written(about['numbered'])}")
    except TypeError as error:
        raise StoreError(f"{card} was changed: it cannot be read ({error}); make it again") from error
    about["parts"] = as_type(tuple[Taken, ...], about["parts"], card, "make it again")
    if not 0 <= about["size"] <= about["examples"]:
        raise StoreError(
            f"{card} was changed: {about['size']} of {about['examples']} examples cannot be; make it again"
        )
    if verify:
        unsealed(written, card, "make it again")
    about["ids"] = Path(about["ids"]).name
    return about


def _beside(card: Path, sha: str) -> Path:
    return card.with_suffix(f".ids-{sha[:12]}.parquet")


def _ids_of(card: Path) -> Path | None:
    """The file of ids that a card wrote and that is its own: under the name that it gives, with the ids that it holds,
    and not those of a copy of the card under another name."""
    try:
        about = _read_card(card)
        path = card.parent / about["ids"]
        if path != _beside(card, about["sha256"]) or _sha(Selection.open(card).ids) != about["sha256"]:
            return None
    except StoreError:
        return None
    name = path.name.encode()
    others = (other for other in card.parent.glob("*.json") if other != card and other.is_file())
    return None if any(name in other.read_bytes() for other in others if other.stat().st_size < CARD) else path


def are_numbers(ids: Array) -> bool:
    """Whether ascending ids are 0 to N - 1."""
    return ids.dtype.kind == "i" and (int(ids[0]), int(ids[-1])) == (0, len(ids) - 1)


def are_in_order(ids: Array) -> bool:
    return bool((ids[1:] > ids[:-1]).all())


def _kind(ids: Array) -> str:
    return "strings" if ids.dtype.kind == "U" else "integers"


def _sha(ids: Array) -> str:
    return hashlib.sha256("\0".join([_kind(ids), *map(str, ids.tolist())]).encode()).hexdigest()
