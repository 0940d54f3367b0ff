"""What was found, as one HTML file: examples and pictures inside, no script, nothing fetched.

Texts and names of examples stand in it as text, escaped; pictures and sounds as data of an ``img`` or ``audio``
element, in which nothing can run, and the page's own policy forbids scripts and whatever is not inside it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainmap.dynamics.manifest import SOURCES
from trainmap.errors import TrainmapError, counted
from trainmap.explorer.encoded import Medium
from trainmap.files import writing
from trainmap.findings.example_cards import Card, card, data_uri, region_cards
from trainmap.findings.found import COMPARED, SUSPECTS, Findings
from trainmap.findings.same_examples import can_look
from trainmap.kinds import as_path
from trainmap.page_templates import page_templates

MOST_CLASSES = 40
MOST_GROUPS = 12


def write_findings(found: Findings, path: str | Path) -> Path:
    """Write the page.

    Args:
        path: FILE.html; a file that is there is replaced, whole or not at all.

    Raises:
        TrainmapError: another ending, or it cannot be written.
    """
    target = as_path(path)
    if target.suffix.lower() not in (".html", ".htm"):
        raise TrainmapError(f"a report is a page: name a file that ends in .html, got {path}")
    content = page_of(found)
    with writing(target) as handle:
        handle.write(content.encode())
    return target


def page_of(found: Findings) -> str:
    """The page as text."""
    made = page_templates(Path(__file__).parent)
    style = "".join((Path(__file__).parent / name).read_text() for name in ("found_page.css", "example_cards.css"))
    return made.get_template("found_page.html.j2").render(
        style=style,
        title=f"What {found.dynamics.path.name} says about its data",
        sentences=sentences(found),
        map=_map_picture(found),
        axes=_axes(found),
        regions=region_cards(found.datamap, found.examples, found.called),
        suspects=_suspect_cards(found),
        found=found,
        classes=_class_rows(found),
        groups=_groups(found),
        compared=_compared_words(found),
        facts=_facts(found),
        warnings=[] if found.audit is None else found.audit.warnings,
    )


def sentences(found: Findings) -> list[str]:
    """The first lines: what it is, its labels, its ranking, what to do with it."""
    dynamics, count = found.dynamics, found.dynamics.examples
    watched = {
        "train": "while a network trained on them",
        "sweep": "by a look after every epoch",
        "held-out": "by networks that did not train on them",
    }
    classes = f" of {dynamics.classes} classes" if dynamics.classes else ""
    first = (
        f"{counted(count, 'example')}{classes}, watched over {counted(dynamics.epochs, 'epoch')} "
        f"{watched[dynamics.source]}."
    )
    if found.audit is None:
        second = f"The labels were not audited: {found.without_audit}."
    elif not found.suspected:
        second = "No label looks wrong."
    else:
        many = found.suspected > 1
        second = (
            f"{counted(found.suspected, 'label')} ({found.suspected / count:.1%}) {'look' if many else 'looks'} wrong; "
            f"the most suspicious {'stand' if many else 'stands'} below, with what the network takes them for."
        )
    lines = [first, second]
    if found.stands is not None:
        lines.append(
            f"The ranking of the examples stands still since epoch {found.stands.epoch}: more would change little."
            if found.stands
            else f"The ranking of the examples still moves after {counted(dynamics.epochs, 'epoch')}: "
            "a longer recording tells more."
        )
    if found.same and (double := sum(len(same.ids) for same in found.same if same.differ)):
        lines.append(f"{double:,} examples stand there twice with different labels: at most one of each is right.")
    lines.append(f"Training on a part of them that the map chooses: {found.worth.answer}.")
    return lines


def _axes(found: Findings) -> str:
    """What up and right mean on the map."""
    if found.dynamics.kind == "classes":
        return "Up: how sure the network was of the label, on average over the epochs. Right: how much that changed."
    main = found.datamap.signal or "p_gold"
    return f"Up: easier, by the mean of {main} over the epochs. Right: how much that changed."


def _map_picture(found: Findings) -> str:
    from trainmap.views.plot import plot_map

    with tempfile.TemporaryDirectory() as folder:
        path = plot_map(found.datamap, Path(folder) / "map.png", title="The map of the data", dpi=110)
        return data_uri(Medium(path.read_bytes(), "image/png"))


def _suspect_cards(found: Findings) -> list[Card]:
    if found.audit is None:
        return []
    table = {row["id"]: row for row in found.audit.table.filter("suspected").iter_rows(named=True)}
    first = [key for key in found.audit.first(SUSPECTS).tolist() if key in table]
    return [card(found.examples, key, _suspicious(found, table[key])) for key in first]


def _suspicious(found: Findings, row: Mapping[str, Any]) -> tuple[str, ...]:
    """What was given with an example, and what the network makes of it."""
    if "target" in row:
        return (f"target {row['target']:.6g}", f"predicted {row['suggested']:.6g}")
    if row.get("label") is None:
        return (f"suspicion {row['suspicion']:.2f}",)
    said = (f"label {found.called(row['label'])}",)
    if row["suggested"] is None:
        return said
    share = f" in {row['support']:.0%} of the epochs" if row["support"] is not None else ""
    return (*said, f"taken for {found.called(row['suggested'])}{share}")


def _class_rows(found: Findings) -> list[dict[str, Any]]:
    """The classes, the least learned first; of many the first, and those that are rare."""
    table = found.classes
    if table.height > MOST_CLASSES:
        table = table.with_row_index().filter((table["rare"]) | (np.arange(table.height) < MOST_CLASSES))
    return table.head(2 * MOST_CLASSES).to_dicts()


def _groups(found: Findings) -> list[tuple[str, list[Card]]]:
    groups = []
    for same in (found.same or [])[:MOST_GROUPS]:
        cards = [
            card(found.examples, key, (f"label {found.called(label)}",))
            for key, label in list(zip(same.ids, same.labels, strict=True))[:6]
        ]
        more = f", {len(same.ids)} of them" if len(same.ids) > len(cards) else ""
        groups.append((f"{same.how}{more}{', and their labels differ' if same.differ else ''}", cards))
    return groups


def _compared_words(found: Findings) -> str:
    if found.same is None:
        return ""
    whom = f"all {found.compared:,}" if found.compared == len(found.datamap) else f"the {COMPARED:,} most suspicious"
    looks = "" if can_look() else " Pictures were compared by their bytes alone (pip install imagehash for their look)."
    groups, differ = len(found.same), sum(same.differ for same in found.same)
    if not groups:
        return f"Of {whom} examples none stands there twice.{looks}"
    shown = f" The first {MOST_GROUPS} are shown." if groups > MOST_GROUPS else ""
    return f"Of {whom} examples: {counted(groups, 'group')}, of {differ:,} the labels differ.{shown}{looks}"


def _facts(found: Findings) -> list[tuple[str, str]]:
    dynamics = found.dynamics
    lines = [
        ("recording", str(dynamics.path)),
        ("examples, epochs", f"{dynamics.examples:,}, {dynamics.epochs}"),
        (
            "numbers of",
            SOURCES[dynamics.manifest.source],
        ),
        ("dataset", dynamics.fingerprint[:16]),
        ("map", f"{found.datamap.fingerprint[:16]}, rule {found.datamap.rule}"),
    ]
    if found.audit is not None:
        lines.append(("audit", f"rule {found.audit.rule}, threshold {found.audit.threshold:g}"))
    if found.stands is not None:
        lines.append(("ranking", str(found.stands)))
    if found.examples is not None:
        lines.append(("examples from", found.examples.name))
    return lines
