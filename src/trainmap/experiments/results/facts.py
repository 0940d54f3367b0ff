"""What a row is, said by its own columns and never read from its name: its role, how it was drawn, its series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainmap.experiments.tasks.draws import DRAWS, Priced, Role

if TYPE_CHECKING:
    from trainmap.experiments.plan.graph import Line
    from trainmap.experiments.runs.folder import Entry

PRICED = Priced.called
"""The draw of the opponent that may spend what the map costs as well: it stands where it is asked for."""

ROLES: Mapping[str, Role] = {draw.drawn(steps): draw.role for draw in DRAWS.values() for steps in (None, 1)}
"""The part that each kind of draw plays in a comparison."""

REFERENCES: Mapping[str, str] = {
    "full": "full data",
    "full, equal steps": "full data, equal steps",
    "random": "random",
    "repeated random": "repeated random",
    PRICED: PRICED,
}
"""What an honest table has beside the rows that it is about, and how it is called."""

OF_A_MAP: frozenset[str] = frozenset(draw.called for draw in DRAWS.values() if draw.by_map)
"""The draws that read a map, unless ``reads_map`` of a row says otherwise."""

NAMES = ("role", "draw", "series")


def facts_of(line: Line, entries: Mapping[str, Entry]) -> dict[str, str]:
    """``role``, ``draw``, ``series`` (the name without its size) and ``taught`` (by what, "" by the labels alone) of a
    line of a plan.

    Args:
        line: its labels say them; those of a plan of trainmap 0.1 do not, and then they follow from the run's own
            configuration. Such a plan knows no series, and each name is one. Plans up to 0.2 say nothing of the loss.
        entries: the tasks of the plan by hash.
    """
    labels = line.labels
    draw = labels["draw"] if "draw" in labels else _draw(entries[line.run].config, entries)
    return {
        "role": labels.get("role", ROLES[draw]),
        "draw": draw,
        "series": labels.get("series", labels["subset"]),
        "taught": labels["taught"] if "taught" in labels else _taught(entries[line.run].config, entries),
    }


def reads_map(draw: str, told: bool | None) -> bool:
    """Whether a row had to have a map and so has to pay it back; ``told`` is what it says itself."""
    return draw in OF_A_MAP if told is None else told


def _taught(config: Mapping[str, Any], entries: Mapping[str, Entry]) -> str:
    teacher = _trained(config, entries).get("teacher")
    return "" if teacher is None else str(teacher["loss"])


def _draw(config: Mapping[str, Any], entries: Mapping[str, Entry]) -> str:
    return DRAWS[config["subset"]["kind"]].drawn(_trained(config, entries)["steps"])


def _trained(config: Mapping[str, Any], entries: Mapping[str, Entry]) -> Mapping[str, Any]:
    """The configuration of the training: a compressed network is of a student."""
    return config if "steps" in config else entries[config["student"]].config
