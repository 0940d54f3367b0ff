"""Reading an experiment file: its scale, ``--set``, its grid, and the errors that name file, line and field."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ValidationError

from trainmap.errors import TrainmapError, shown, unknown
from trainmap.experiments.file.sections import Experiment, ExperimentFile, Grid
from trainmap.experiments.file.yamlfile import Located, Where, parse, read

Scale = Literal["small", "paper"]
MOST_POINTS = 10_000
MOST_WORK = 10_000_000
"""Values of all the points of a grid together."""
MOST_RUNS = 200_000
"""Of the students of one point."""


@dataclass(frozen=True)
class Variant:
    """One point of the grid.

    Attributes:
        experiment: what is done.
        label: what reports call this point: the file's label, or else the grid's values; empty without both.
        values: of the grid, by the shortest names.
        source: the values with the lines they came from.
    """

    experiment: Experiment
    label: dict[str, Any]
    values: dict[str, Any]
    source: Located

    def wrong(self, where: Where, message: object) -> TrainmapError:
        """The error for a value of the file, with its place."""
        return _error(self.source, where, str(message))


def load_experiment(path: str | Path, scale: str | None = None, sets: Sequence[str] = ()) -> list[Variant]:
    """Read an experiment file: its scale put over it, then ``--set``, then the grid.

    Args:
        path: the YAML file.
        scale: "small" or "paper"; None takes "small" where the file has such a section.
        sets: ``"students.*.epochs=2"``: a dotted path and a value in YAML.

    Raises:
        TrainmapError: file, line and field of what is wrong, and what is allowed.
    """
    found = read(path)
    if not isinstance(found.value, dict):
        raise TrainmapError(f"{path}: an experiment file must be a mapping; it starts with 'title: ...'")
    if scale is not None and scale not in get_args(Scale):
        raise unknown("scale", scale, get_args(Scale))
    over = found.part(scale or "small")
    if scale is not None and (over is None or over.value is None):
        raise TrainmapError(f"{path} has no section '{scale}:'; leave --scale out")
    found = found.without(get_args(Scale))
    if over is not None and over.value is not None:
        found = found.merged(over)
    for word in sets:
        found = _set(found, word)
    grid = found.part("grid") or Located({}, {})
    asked = _validated(Grid, grid, ("grid",))
    made: list[Variant] = []
    runs = 0
    for point, label, values in _points(found.without(["grid"]), asked, grid):
        made.append(Variant(_validated(Experiment, point), label, values, point))
        if (runs := runs + _runs(made[-1].experiment)) > MOST_RUNS:
            raise TrainmapError(
                f"{path}: datasets, subsets, sizes, students, seeds and the grid make more than {MOST_RUNS:,} runs; "
                "make the lists shorter, or several files"
            )
    return made


def variant_of(said: Mapping[str, Any]) -> Variant:
    """The experiment that a mapping says, as a file would: what ``trainmap demo`` makes of its options.

    Raises:
        TrainmapError: the field of what is wrong, and what is allowed.
    """
    found = Located(dict(said), {})
    return Variant(_validated(Experiment, found), {}, {}, found)


def _runs(experiment: Experiment) -> int:
    """At most so many runs of students: each list of the file times the others."""
    maps = len(experiment.teachers if experiment.maps is None else experiment.maps)
    seeds = len(experiment.seeds)
    sizes = sum(len(experiment.sizes if subset.sizes is None else subset.sizes) for subset in experiment.subsets)
    columns = sum(len(student.distillation) * len(student.compress) for student in experiment.students)
    return len(experiment.data.names) * max(maps, 1) * sizes * seeds * columns * len(experiment.budgets)


def schema() -> dict[str, Any]:
    """The JSON Schema of an experiment file."""
    found = ExperimentFile.model_json_schema()
    for name in ("Subset", "Shift", "Pairs", "Outliers", "Partition"):
        found["$defs"][name] = {"anyOf": [{"type": "string"}, found["$defs"][name]]}
    evaluation = found["properties"]["evaluation"]
    evaluation["anyOf"] = [{"$ref": "#/$defs/Evaluation"}, {key: evaluation.pop(key) for key in ("items", "type")}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _set(found: Located, word: str) -> Located:
    path, equals, text = word.partition("=")
    if not (path and equals):
        raise TrainmapError(f"--set must be a dotted path and a value, such as seeds=[0,1], got '{word}'")
    new = parse(text, f"--set {path}")
    try:
        for where in found.paths(path):
            found = found.with_part(where, new)
    except TrainmapError as error:
        raise TrainmapError(f"--set {path}: {error}") from error
    return found


def _points(found: Located, grid: Grid, places: Located) -> Iterator[tuple[Located, dict[str, Any], dict[str, Any]]]:
    """Each combination of the grid's values put into the file, with its label and its values."""
    lengths = {path: len(values) for path, values in grid.zip.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{path} {count}" for path, count in lengths.items())
        raise _error(places, ("zip",), f"the lists must be equally long, got {told}", ("grid",))
    if twice := grid.cross.keys() & grid.zip.keys():
        raise _error(places, ("zip", *twice), "is in cross as well; keep one of them", ("grid",))
    for path, values in grid.cross.items():
        if (at := _repeated(values)) is not None:
            raise _error(places, ("cross", path, at), f"{shown(values[at])} stands twice; keep one of them", ("grid",))
    zipped = [dict(zip(grid.zip, values)) for values in zip(*grid.zip.values())] or [{}]
    if (at := _repeated(zipped)) is not None:
        message = f"the values at {at} are those of an earlier place in all lists; keep one of them"
        raise _error(places, ("zip", next(iter(grid.zip)), at), message, ("grid",))
    count = len(zipped) * math.prod(len(values) for values in grid.cross.values())
    if count > MOST_POINTS or count * len(found.places) > MOST_WORK:
        raise _error(
            places,
            ("cross",),
            f"the lists make {count:,} points of {len(found.places):,} values, at most {MOST_POINTS:,} points and "
            f"{MOST_WORK:,} values are planned; make the lists shorter, or several files",
            ("grid",),
        )
    crossed = [dict(zip(grid.cross, values)) for values in itertools.product(*grid.cross.values())]
    short = _short_names([*grid.cross, *grid.zip])
    for together, combination in itertools.product(zipped, crossed):
        point = found
        for path, value in (together | combination).items():
            kind = "zip" if path in grid.zip else "cross"
            try:
                for where in found.paths(path):
                    point = point.with_part(where, Located(value, {(): places.place((kind, path))}))
            except TrainmapError as error:
                raise _error(places, (kind, path), str(error), ("grid",)) from error
        label = values = {short[path]: value for path, value in (together | combination).items()}
        if (told := point.part("label")) is not None and told.value is not None:
            label = {"label": told.value} if told.value else {}
        yield point, label, values


def _repeated(values: Sequence[Any]) -> int | None:
    """Where the first value stands that is there before; None where all differ."""
    seen: set[str] = set()
    for at, value in enumerate(values):
        if (text := json.dumps(value)) in seen:
            return at
        seen.add(text)
    return None


def _short_names(paths: Sequence[str]) -> dict[str, str]:
    """The last word of each path, or as many as tell them apart."""
    words = {path: [word for word in path.split(".") if word != "*"] for path in paths}
    names: dict[str, str] = {}
    for path, own in words.items():
        for count in range(1, len(own) + 1):
            names[path] = ".".join(own[-count:])
            if all(other is own or other[-count:] != own[-count:] for other in words.values()):
                break
    return names


def _validated(model: type[Any], found: Located, above: Where = ()) -> Any:
    try:
        return model.model_validate(found.value)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        first = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])  # the rest follows
        where = _as_written(found.value, tuple(first["loc"]))
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        if first["type"] == "extra_forbidden":
            known = _fields(model, where[:-1])
            said = unknown("field", str(where[-1]), known)
            raise _error(found, where, f"{said}{more}", above) from error
        said = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        said = said[:1].lower() + said[1:]
        if first["type"] == "missing":
            said = "is missing and must be given"
        elif first["type"] != "value_error":
            said = f"{said}, got {shown(first['input'])}"
        raise _error(found, where, f"{said}{more}", above) from error


def _fields(model: type[BaseModel], where: Where) -> list[str]:
    """The fields of the section at a path of the model."""
    for key in where:
        if isinstance(key, int) or key not in model.model_fields:
            continue
        model = next((found for found in _sections(model.model_fields[key].annotation)), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def _as_written(value: Any, where: Where) -> Where:
    """A path without the position of a list's only entry, where the file has the entry itself."""
    written: list[str | int] = []
    for key in where:
        if isinstance(key, int) and isinstance(value, dict):
            continue
        written.append(key)
        value = value[key] if isinstance(value, list) and isinstance(key, int) else _under(value, key)
    return tuple(written)


def _under(value: Any, key: str | int) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)


def _error(found: Located, where: Where, message: str, above: Where = ()) -> TrainmapError:
    field = ".".join(map(str, (*above, *where)))
    place = found.place(where)
    return TrainmapError(": ".join(part for part in (place, field, message) if part))
