from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console, Group

from trainmap.audits.audit import audit
from trainmap.audits.planted import plan_flips
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.maps.agreement import compare
from trainmap.maps.datamap import DataMap
from trainmap.maps.stability import converged
from trainmap.views.side_by_side import of_audit, of_comparison, of_convergence


def record(folder: Path, labels: np.ndarray, first: int = 0, seed: int = 0) -> Dynamics:
    rng, n = np.random.default_rng(seed), len(labels)
    ids = np.arange(first, first + n)
    with Recorder(folder, 3, ids, labels, rank=0, world_size=1) as recorder:
        for _ in range(4):
            logits = rng.normal(size=(n, 3))
            logits[:, 0] += 1
            recorder.update(ids, logits, labels)
            recorder.end_epoch()
    return Dynamics.open(folder)


def text(view: Group) -> str:
    console = Console(width=160, no_color=True)
    with console.capture() as captured:
        console.print(view)
    return captured.get()


def test_a_comparison_shows_what_one_map_has_alone_and_the_table_of_regions(tmp_path: Path) -> None:
    zeros = np.zeros(30, np.int64)
    a, b = (DataMap.from_dynamics(record(tmp_path / f"{i}", zeros, 10 * i, i)) for i in (0, 1))
    shown = text(of_comparison(compare(a, b, ["confidence", "correctness"], allow=["dataset"])))
    assert "20 (10 in A alone, 10 in B alone)" in shown
    assert "A \\ B" in shown
    for word in ("Spearman", "top 10%", "Jaccard", "by chance", "tied", "easy-to-learn", "none", "kappa"):
        assert word in shown


def test_the_epochs_show_the_error_of_a_sample_and_none_for_all(tmp_path: Path) -> None:
    dynamics = record(tmp_path / "d", np.zeros(60, np.int64))
    assert "±" in text(of_convergence([converged(dynamics, sample=30)]))
    whole = text(of_convergence([converged(dynamics), converged(dynamics, "variability")]))
    assert "±" not in whole
    assert "confidence: the ranking" in whole
    assert "variability: the ranking" in whole


def test_an_audit_shows_the_most_suspicious_labels_up_to_the_limit(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 3, 60)
    flips = plan_flips(labels, 0.2)
    found = audit(record(tmp_path / "d", flips.apply(np.arange(60), labels)), flips=flips)
    shown = text(of_audit(found, limit=3))
    assert "planted flips: " in shown
    rows = [line.split() for line in shown.splitlines() if line[:1].isdigit()]
    assert [row[0] for row in rows] == [str(i) for i in found.suspected[:3]]


def test_no_figure_of_a_comparison_is_cut_at_80_columns(tmp_path: Path) -> None:
    a, b = (DataMap.from_dynamics(record(tmp_path / f"{i}", np.zeros(30, np.int64), 0, i)) for i in (0, 1))
    found = compare(a, b, fractions=[0.1, 1 / 3, 0.5])
    for width in (80, 40):
        console = Console(width=width, no_color=True)
        with console.capture() as captured:
            console.print(of_comparison(found))
        shown = captured.get()
        assert "…" not in shown
        if width == 80:
            for score in found.scores:
                for top in score.top:
                    assert f"{score.score} " in shown
                    assert f" {top.jaccard:.3f} " in shown
                    assert f" {top.chance_share:.1%} " in shown
