"""Two maps side by side, one recording over its epochs, and an audit, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from rich.console import Group
from rich.table import Table
from rich.text import Text

from trainmap.audits.suspects import Audit
from trainmap.maps.agreement import Comparison
from trainmap.maps.stability import Convergence
from trainmap.views.summary import facts


def of_comparison(comparison: Comparison) -> Group:
    """Facts, the agreement of every score, and the confusion table of the regions (rows: A, columns: B)."""
    c = comparison
    rows: dict[str, object] = {
        "examples": f"{c.examples:,}"
        + (f" ({c.only_a:,} in A alone, {c.only_b:,} in B alone)" if c.only_a or c.only_b else ""),
        "epochs": " and ".join(map(str, c.epochs)),
        "source": " and ".join(dict.fromkeys(c.sources)),
        "dataset": " and ".join(dict.fromkeys(name[:16] for name in c.datasets)),
    }
    tables: list[Table | str] = []
    fractions = [top.fraction for score in c.scores[:1] for top in score.top]
    for place, fraction in enumerate(fractions):  # one below the other: side by side they would be too wide
        table = _table("score", "Spearman", f"top {fraction:.0%}", "by chance", "Jaccard", "by chance", "tied")
        for score in c.scores:
            top = score.top[place]
            cells = [f"{score.spearman:.3f}", f"{top.share:.1%}", f"{top.chance_share:.1%}"]
            cells += [f"{top.jaccard:.3f}", f"{top.chance_jaccard:.3f}", f"{top.tied:.0%}" if top.tied >= 0.005 else ""]
            table.add_row(Text(score.score), *cells)
        tables += [table, ""]
    regions = _table("A \\ B", *c.regions.names)
    for name, counts in zip(c.regions.names, c.regions.counts, strict=True):
        regions.add_row(Text(name), *(f"{count:,}" for count in counts))
    agreed = f"same region: {c.regions.agreed:.1%}, by chance {c.regions.chance:.1%}, kappa {c.regions.kappa:.3f}"
    return Group(facts("agreement", rows), "", *tables, regions, Text(agreed, "dim"))


def of_convergence(found: Sequence[Convergence]) -> Group:
    """For every score the agreement epoch by epoch, and what the rule says."""
    parts: list[object] = []
    for one in found:
        table = _table(
            "epochs", "with the first", "Spearman", f"top {one.fraction:.0%}", "with all", f"top {one.fraction:.0%}"
        )
        sampled = (one.table["error"].max() or 0) > 0  # type: ignore[operator]
        for row in one.table.iter_rows(named=True):
            cells = [row["epochs"], row["earlier"]]
            table.add_row(
                *("" if cell is None else str(cell) for cell in cells),
                _figure(row["spearman"], row["error"] if sampled else None),
                _figure(row["top"], row["top_error"] if sampled else None),
                _figure(row["final"], None),
                _figure(row["final_top"], None),
                style="bold" if row["epochs"] == one.epoch else "",
            )
        parts += [Text(one.score, "bold"), table, Text(str(one)), ""]
    return Group(*parts[:-1])  # type: ignore[arg-type]


def of_audit(audit: Audit, limit: int = 10) -> Group:
    """Facts and the most suspicious labels."""
    count = len(audit.suspected)
    rows: dict[str, object] = {
        "examples": f"{len(audit):,}",
        "epochs": audit.epochs,
        "source": audit.source,
        "rule": f"{audit.rule}, suspected from {audit.threshold:.4g}{_raised(audit)}",
        "suspected": f"{count:,} ({count / max(1, len(audit)):.1%})",
    }
    if audit.quality is not None:
        rows["quality"] = audit.quality
    if audit.kind != "classes":
        return Group(facts("audit", rows), "", _of_numbers(audit, limit))
    table = _table("id", "label", "suspicion", "suggested", "support")
    named = "_name" if audit.class_names is not None else ""
    for row in audit.table.filter("suspected").head(limit).iter_rows(named=True):
        suggested = "" if row["suggested"] is None else str(row[f"suggested{named}"])
        figures = (
            Text(str(row[f"label{named}"])),
            f"{row['suspicion']:.4f}",
            Text(suggested),
            _percent(row["support"]),
        )
        table.add_row(Text(str(row["id"])), *figures)
    noted = audit.by_class.filter(pl.col("note").is_not_null()) if audit.by_class.height else audit.by_class
    if not noted.height:
        return Group(facts("audit", rows), "", table)
    classes = _table("", "labels", "threshold", "another preferred", "suspected", "note")
    for row in noted.head(limit).iter_rows(named=True):
        counts = (f"{row['examples']:,}", f"{row['threshold']:.4g}", f"{row['preferred']:,}", f"{row['suspected']:,}")
        label = row["label"] if audit.class_names is None else audit.class_names[row["label"]]
        classes.add_row(Text(f"class {label}"), *counts, row["note"])
    return Group(facts("audit", rows), "", table, "", classes)


def _of_numbers(audit: Audit, limit: int) -> Table:
    """The most suspicious examples of an audit without classes."""
    names = [name for name in ("target", "residual", "suggested") if name in audit.table.columns]
    table = _table("id", "suspicion", *names)
    for row in audit.table.filter("suspected").head(limit).iter_rows(named=True):
        table.add_row(Text(str(row["id"])), *(f"{row[name]:.4g}" for name in ("suspicion", *names)))
    return table


def _raised(audit: Audit) -> str:
    """How many classes have a threshold of their own."""
    count = int((audit.by_class["threshold"] > audit.threshold).sum()) if audit.by_class.height else 0
    return f" (higher in {count:,} rare class{'' if count == 1 else 'es'})" if count else ""


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for position, name in enumerate(columns):
        # On a narrow terminal figures go on in the next line: a cut figure is another figure.
        dim = "dim" if name in ("by chance", "tied") else ""
        table.add_column(name, justify="left" if position == 0 else "right", style=dim, overflow="fold")
    return table


def _figure(value: float | None, error: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if error is None else f"{value:.3f} ± {error:.3f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"
