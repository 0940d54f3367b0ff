"""What a race found: who won, by how much, at what cost; a value that can be kept, and drawn from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trainmap.checksums import sealed, unsealed
from trainmap.errors import StoreError, TrainmapError, counted
from trainmap.files import as_json, read_json, writing
from trainmap.kinds import as_path
from trainmap.maps.datamap import DataMap
from trainmap.races.candidates import EVEN, Candidate, Contender, contenders, drawn, evenly
from trainmap.races.fresh_draws import schedule_of
from trainmap.races.lower_bound import Lead, lead
from trainmap.schedules.protocol import Schedule
from trainmap.selection.card import Selection
from trainmap.selection.pool import Pool
from trainmap.selection.select import known_pool
from trainmap.selection.strategies import named
from trainmap.told import Lines, Told
from trainmap.typed import as_type

Array = NDArray[Any]
Kind = Literal["subset", "fresh"]
Stage = Literal["heats", "final", "wider"]
FORMAT, VERSION = "trainmap-race", 1
CURE = "race again"


@dataclass(frozen=True)
class Trained:
    """One training of the judge: of whom, in which stage, with which of its seeds, its scores on the parts of the
    held-out data (one number where the judge gave one), and the time that it took."""

    candidate: str
    stage: Stage
    seed: int
    scores: tuple[float, ...]
    seconds: float = dataclasses.field(default=0.0, compare=False)
    cpu_seconds: float = dataclasses.field(default=0.0, compare=False)


@dataclass(frozen=True)
class Facts:
    """What a race was asked, and what it may cost; the unit of cost is one training of the student on all the data.

    Attributes:
        kind: a fixed subset, or fresh draws for every epoch.
        size, examples: how many are kept, of how many.
        seed: of the race.
        confidence: of the one-sided interval.
        judge: what it says that it is.
        map, dataset: fingerprints.
        price: of one training of the judge.
        limit: the bound, as a share of ``saved``.
        candidates: who was raced, in order.
        left_out: who was not, and why.
        rounds, seeds, confirm: the plan; all 0 where the bound has no room for a race.
        wider, wider_price: what the wider judge says that it is, "" where there is none, and one training of it.
    """

    kind: Kind
    size: int
    examples: int
    seed: int
    confidence: float
    judge: str
    map: str
    dataset: str
    price: float
    limit: float
    candidates: tuple[str, ...]
    left_out: dict[str, str]
    rounds: int
    seeds: int
    confirm: int
    wider: str = ""
    wider_price: float = 0.0

    @property
    def saved(self) -> float:
        """What one training of the student on so many examples saves."""
        return 1 - self.size / self.examples


@dataclass(frozen=True, eq=False, repr=False)
class Race(Told):
    """A race that is over; made by ``trainmap.race`` or ``Race.open``.

    Attributes:
        facts: what was asked, and the plan.
        trainings: every training, in the order in which they were made.
        finalist: the best of the heats; "" where none was better than even draws, or nothing was raced.
        datamap, field: what is drawn from, and the candidates; None after ``open`` without them.
    """

    facts: Facts
    trainings: tuple[Trained, ...]
    finalist: str
    datamap: DataMap | None = None
    field: Mapping[str, Contender] = dataclasses.field(default_factory=dict)

    @cached_property
    def final(self) -> Lead | None:
        """The finalist against even draws on fresh seeds; None where there was no final."""
        return self._lead(self.finalist, ("final",)) if self.finalist else None

    @cached_property
    def wider(self) -> Lead | None:
        """The finalist against even draws by the wider judge, with the draws and seeds of the final; None where it was
        not asked."""
        return self._lead(self.finalist, ("wider",)) if self.finalist else None

    @cached_property
    def shrinks(self) -> Lead | None:
        """By how much the wider judge's lead is below the other's, seed by seed; None where it was not asked."""
        narrow, wide = (leads(self.trainings, self.finalist, (stage,)) for stage in ("final", "wider"))
        pairs = [narrow["final", seed] - own for (_, seed), own in wide.items() if ("final", seed) in narrow]
        return lead(np.array(pairs), self.facts.confidence) if pairs else None

    @property
    def agreed(self) -> bool:
        """Whether the wider judge leads too, and by not clearly less; True where the race has none."""
        if not self.facts.wider:
            return True
        return self.wider is not None and self.wider.mean > 0 and self.shrinks is not None and not self.shrinks.shown

    @property
    def winner(self) -> str:
        """Who is drawn by: the finalist where its whole interval lies above 0 and the wider judge, if there is one,
        agrees; "even" otherwise."""
        return self.finalist if self.final is not None and self.final.shown and self.agreed else EVEN

    @property
    def spent(self) -> float:
        """What the race cost, in trainings of the student on all the data."""
        return (len(self.trainings) - self._asked) * self.facts.price + self._asked * self.facts.wider_price

    @property
    def _asked(self) -> int:
        """How many of the trainings are the wider judge's."""
        return sum(one.stage == "wider" for one in self.trainings)

    @cached_property
    def table(self) -> pl.DataFrame:
        """A row for each candidate: trainings, its mean lead over even draws in the heats, and the final."""
        rows: list[dict[str, Any]] = []
        for name in (EVEN, *self.facts.candidates):
            heats = self._lead(name, ("heats",)) if name != EVEN else None
            final = self.final if name == self.finalist else None
            rows.append(
                {
                    "candidate": name,
                    "trainings": sum(one.candidate == name for one in self.trainings),
                    "score": self._score(name),
                    "heats": None if heats is None else heats.mean,
                    "final": None if final is None else final.mean,
                    "low": None if final is None else final.low,
                    "n": None if final is None else final.n,
                    "wider": None if final is None or self.wider is None else self.wider.mean,
                    "won": name == self.winner,
                }
            )
        rows += [dict.fromkeys(rows[0], None) | {"candidate": name, "trainings": 0, "won": False} for name in self.out]
        schema = {"candidate": pl.String, "trainings": pl.Int64} | dict.fromkeys(("score", "heats"), pl.Float64)
        schema |= {"final": pl.Float64, "low": pl.Float64, "n": pl.Int64, "wider": pl.Float64, "won": pl.Boolean}
        return pl.DataFrame(rows, schema=schema)

    @property
    def score(self) -> float:
        """What the judge gave for even draws, on average: compare it with the student's; NaN where none was made."""
        found = self._score(EVEN)
        return math.nan if found is None else found

    def _score(self, name: str) -> float | None:
        """What the judge, not the wider one, gave for a candidate on average; None where it trained nobody by it."""
        return _mean([one for one in self.trainings if one.candidate == name and one.stage != "wider"])

    @property
    def out(self) -> Mapping[str, str]:
        """Who was not raced, and why."""
        return self.facts.left_out

    @property
    def reason(self) -> str:
        """What was raced, by how much it won or lost, what that cost and might have cost: a paragraph."""
        facts = self.facts
        share = f"{facts.size:,} of {facts.examples:,} examples ({facts.size / facts.examples:.1%})"
        what = f"Visit {share} in an epoch" if facts.kind == "fresh" else f"Keep {share}"
        even = "repeated random" if facts.kind == "fresh" else "even draws"
        said = [f"{what}, drawn by '{self.winner}'." if self.winner != EVEN else f"{what}: {even}."]
        bound = f"{facts.limit * facts.saved:.3g} trainings of the student on all the data ({facts.limit:.0%} of the "
        bound += f"{facts.saved:.3g} that one training on the subset saves)"
        if not facts.confirm:
            least = "no candidate could be raced" if not facts.candidates else "no race fits"
            wide = f" and one of the wider judge {facts.wider_price:.3g}" if facts.wider else ""
            said.append(
                f"Nothing was raced: {least} within {bound}, one training of the judge being {facts.price:.3g}{wide}."
            )
        else:
            heats = (
                f"{counted(facts.rounds, 'round')} of {counted(facts.seeds, 'seed')}" if facts.rounds else "no heats"
            )
            said.append(f"Raced against {even} by {facts.judge}: {', '.join(facts.candidates)}, in {heats}.")
            said.append(
                f"{even.capitalize()} scored {self.score:.4f} on average; a judge that scores far below the student "
                "misleads, so compare."
            )
            said.append(self._told_final(even))
            if self.wider is not None:
                said.append(self._told_wider(self.wider))
            made = counted(len(self.trainings) - self._asked, "training") + " of the judge"
            made += f" and {self._asked:,} of the wider one" if self._asked else ""
            said.append(f"Cost: {made}, {self.spent:.3g} of {bound}.")
        if facts.left_out:
            said.append(f"Not raced: {'; '.join(f'{name} ({why})' for name, why in facts.left_out.items())}.")
        return " ".join(said)

    def _told_final(self, even: str) -> str:
        if self.final is None:
            return f"None was better than {even} in the heats."
        heats = self._lead(self.finalist, ("heats",))
        best = f"'{self.finalist}' was the best ({heats.mean:+.4f}, n = {heats.n}) and" if heats else "It"
        if math.isnan(self.final.low):
            return (
                f"{best} met {even} again with {counted(self.final.n, 'fresh seed')}: no spread was seen, so no lead."
            )
        end = "above 0" if self.final.shown else "which is not above 0"
        return (
            f"{best} met {even} again with {counted(self.final.n, 'fresh seed')}: {self.final.mean:+.4f}, the "
            f"one-sided {self.facts.confidence:.0%} interval from {self.final.low:+.4f}, {end}."
        )

    def _told_wider(self, wider: Lead) -> str:
        told = f"By {self.facts.wider}, with the same draws and seeds, it is {wider.mean:+.4f}"
        if self.agreed:
            return f"{told}: a lead as well, and not clearly less."
        if wider.mean <= 0:
            return f"{told}: no lead, so that it is none of the student's."
        return f"{told}, clearly less: a lead that shrinks as the judge gets wider may be gone with the student."

    def told(self) -> Lines:
        """What it is in a few lines."""
        facts, final = self.facts, self.final
        lead_of = "" if final is None else f", {self.finalist} {_led(final)} (n = {final.n})"
        return "Race", {
            "won": f"{self.winner}{lead_of}",
            "raced": f"{', '.join(facts.candidates) or 'nothing'}; {facts.size:,} of {facts.examples:,} ({facts.kind})",
            "judged by": facts.judge + (f"; the winner by {facts.wider}, too" if facts.wider else ""),
            "cost": f"{self.spent:.3g} of {facts.limit * facts.saved:.3g} trainings of the student on all the data",
            "use": "race.schedule, race.draw(seed)" if facts.kind == "fresh" else "race.selection, race.draw(seed)",
        }

    def draw(self, seed: int = 0) -> Selection | Schedule:
        """Examples by what won, with any seed: a selection, or the schedule of fresh draws.

        Raises:
            TrainmapError: a race that was opened without its map, or without a candidate of your own that won.
        """
        if self.datamap is None:
            raise TrainmapError("a race that was opened draws from its map: Race.open(path, datamap)")
        if self.winner != EVEN and self.winner not in self.field:
            raise TrainmapError(f"'{self.winner}' won, which is your own: Race.open(path, datamap, candidates=...)")
        pool, facts = pool_of(self.datamap, self.facts.size), self.facts
        found = draw(self.winner, self.field, pool, facts.size, seed, facts.kind)
        if facts.kind == "fresh":
            return found
        final = "" if self.final is None else f", {self.finalist} {_led(self.final)}"
        spec = f"{facts.size} raced({self.winner}{final}; by {facts.judge}; map {facts.map[:12]}; seed {facts.seed})"
        return Selection.of(self.datamap, found, spec, seed)

    @property
    def selection(self) -> Selection:
        """A subset by what won, drawn with the race's seed; ``draw`` has others."""
        if self.facts.kind == "fresh":
            raise TrainmapError("this race was for fresh draws: race.schedule, or race(..., kind='subset')")
        return self.draw(self.facts.seed)  # type: ignore[return-value]

    @property
    def schedule(self) -> Schedule:
        """Fresh draws by what won, with the race's seed; ``draw`` has others."""
        if self.facts.kind != "fresh":
            raise TrainmapError("this race was for a subset: race.selection, or race(..., kind='fresh')")
        return self.draw(self.facts.seed)  # type: ignore[return-value]

    def save(self, path: str | Path) -> Path:
        """Write it as JSON: every training, what was asked. The map stays where it is."""
        return write_race(path, self.facts, self.trainings, self.finalist, finished=True)

    @staticmethod
    def open(path: str | Path, datamap: DataMap | None = None, candidates: Mapping[str, Any] | None = None) -> Race:
        """Open a race, with its map where it is to be drawn from.

        Args:
            path: what ``save`` wrote, or the journal of a race that is over.
            datamap: of the race.
            candidates: as the race had them, where they were your own.

        Raises:
            StoreError: no race, one that is not over, one that was changed.
            TrainmapError: another map.
        """
        facts, trainings, finalist, finished = read_race(path)
        if not finished:
            raise StoreError(f"{path} is the journal of a race that is not over; race again with it, which goes on")
        if datamap is not None and datamap.fingerprint != facts.map:
            raise TrainmapError("the race was on another map: its fingerprint is not that of this one")
        return Race(facts, trainings, finalist, datamap, contenders(candidates))

    def _lead(self, name: str, stages: tuple[Stage, ...]) -> Lead | None:
        return lead_of(self.trainings, name, stages, self.facts.confidence)


def lead_of(trainings: Any, name: str, stages: tuple[Stage, ...], confidence: float) -> Lead | None:
    """How far a candidate leads even draws over the seeds that both have; None where they share none."""
    pairs = leads(trainings, name, stages)
    return lead(np.array([*pairs.values()]), confidence) if pairs else None


def leads(trainings: Any, name: str, stages: tuple[Stage, ...]) -> dict[tuple[Stage, int], Array]:
    """(V,) what a candidate scored above even draws, by stage and seed, for those that both have."""
    scores: dict[tuple[str, Stage, int], tuple[float, ...]]
    scores = {(one.candidate, one.stage, one.seed): one.scores for one in trainings if one.stage in stages}
    return {
        (stage, seed): np.subtract(own, scores[EVEN, stage, seed])
        for (who, stage, seed), own in scores.items()
        if who == name and (EVEN, stage, seed) in scores
    }


def pool_of(datamap: DataMap, size: int) -> Pool:
    """Every example of a map with all its scores."""
    return known_pool(datamap, named(evenly), size)


def draw(name: str, field: Mapping[str, Contender], pool: Pool, size: int, seed: int, kind: Kind) -> Any:
    """Ids, ascending, or a schedule, by a candidate or evenly."""
    if kind == "fresh":
        return schedule_of(None if name == EVEN else field[name], pool, size, seed)
    return drawn(Candidate(evenly) if name == EVEN else field[name], pool, size, seed)


def write_race(path: str | Path, facts: Facts, trainings: tuple[Trained, ...], finalist: str, finished: bool) -> Path:
    """Write a race as it stands, whole or not at all."""
    target = as_path(path)
    if target.suffix != ".json":
        raise TrainmapError(f"a race is JSON: its name must end in .json, got {target.name}")
    about = {"format": FORMAT, "version": VERSION, "finished": finished, "facts": vars(facts) | {}}
    about |= {"finalist": finalist, "trainings": [vars(one) for one in trainings]}
    with writing(target) as handle:
        handle.write(as_json(sealed(about)))
    return target


def read_race(path: str | Path) -> tuple[Facts, tuple[Trained, ...], str, bool]:
    """A race or the journal of one that is not over."""
    source = as_path(path)
    about: Any = read_json(source, "race", CURE)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise StoreError(f"{path} is not a race of trainmap: 'format' must be '{FORMAT}'")
    if about.get("version") != VERSION:
        raise StoreError(f"{path} has version {about.get('version')}, this trainmap reads {VERSION}: upgrade it")
    told = unsealed(about, source, CURE)
    try:
        parts = told["facts"], told["trainings"], told["finalist"], told["finished"]
    except KeyError as error:
        raise StoreError(f"{path} was changed: {error} is missing; {CURE}") from error
    kinds = (Facts, tuple[Trained, ...], str, bool)
    facts, trainings, finalist, finished = (
        as_type(kind, part, source, CURE) for kind, part in zip(kinds, parts, strict=True)
    )
    return facts, trainings, finalist, finished


def _led(final: Lead) -> str:
    """A lead in a few words."""
    return f"{final.mean:+.4f} " + ("without an interval" if math.isnan(final.low) else f"from {final.low:+.4f}")


def _mean(trainings: list[Trained]) -> float | None:
    return float(np.mean([one.scores for one in trainings])) if trainings else None
