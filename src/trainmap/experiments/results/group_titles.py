"""What the groups of tables are called: by the dataset, and by as few values of the grid as tell them apart, once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainmap.experiments.file.fields import written
from trainmap.experiments.plan.graph import Line

PEOPLES = ("label", "map")
"""The values of a group that people gave, or that are there only where there are several: always told."""
BARE = ("label", "model", "name", "names", "title")
"""The last words of a value's place in the file that say nothing which the value does not say itself."""


@dataclass(frozen=True)
class GroupTitle:
    """What a group is called.

    Attributes:
        whole: "digits, map cnn-8, batch 32": the heading of its tables.
        told: by its place in the file, what tells it from other groups, as a phrase: heads of columns have this.
    """

    whole: str
    told: Mapping[str, str]


def group_key(line: Line) -> str:
    """Lines that have it in common stand in the same tables."""
    return json.dumps([dict(line.group), line.map])


def group_titles(lines: Sequence[Line]) -> dict[str, GroupTitle]:
    """The title of each group of lines, by its key."""
    groups = {group_key(line): line.group for line in lines}
    values = [{key: phrase(key, value) for key, value in group.items()} for group in groups.values()]
    chosen = _telling(values)
    found: dict[str, GroupTitle] = {}
    for key, own in zip(groups, values, strict=True):
        rest = [own[name] for name in own if name != "dataset" and (name in PEOPLES or name in chosen)]
        told = {name: own[name] for name in chosen if name in own}
        found[key] = GroupTitle(", ".join([own["dataset"], *filter(None, rest)]), told)
    return found


def phrase(key: str, value: Any) -> str:
    """A value of a grid as a title says it: "spec-8", "batch 32", "recipe (peak_lr 0.1, batch 32)"."""
    word = key.split(".")[-1]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if key != "dataset" and word not in BARE:
        return f"{word} {written(value)}"
    return ", ".join(map(written, value)) if isinstance(value, list) else written(value)


def _telling(groups: Sequence[Mapping[str, str]]) -> list[str]:
    """As few keys as tell the groups apart: the dataset, what people gave, then the shortest phrases."""
    keys = dict.fromkeys(key for group in groups for key in group)
    told: list[str] = []
    for key in sorted(keys, key=lambda key: (key != "dataset", key not in PEOPLES, _longest(groups, key))):
        if _kinds(groups, [*told, key]) > _kinds(groups, told):
            told.append(key)
    return [key for key in keys if key in told]


def _longest(groups: Sequence[Mapping[str, str]], key: str) -> int:
    return max(len(group.get(key, "")) for group in groups)


def _kinds(groups: Sequence[Mapping[str, str]], keys: Sequence[str]) -> int:
    return len({tuple(group.get(key) for key in keys) for group in groups})
