"""Every function and verb that takes a recording or a map, on every kind: it works, or says why in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import trainmap as tm
from trainmap.cli.app import app
from trainmap.dynamics.exchange.allenai import export_epochs
from trainmap.dynamics.exchange.long_table import export_long
from trainmap.dynamics.exchange.pred_probs import pred_probs
from trainmap.dynamics.exchange.study_json import export_study
from trainmap.evaluation.predictions import Predictions
from trainmap.maps.exchange import export_allenai, export_fiftyone, export_metrics, export_spotlight
from trainmap.maps.second_split import second_split
from trainmap.maps.stability import telling_scores
from trainmap.scores import cluster
from trainmap.views.summary import of_dynamics, of_map

N, E = 60, 4
KINDS: dict[str, dict[str, Any]] = {
    "named classes": {"classes": ["ant", "bee", "cat"]},
    "multilabel": {"classes": ["sky", "sea", "sun", "ice"], "kind": "multilabel"},
    "each label": {"classes": ["sky", "sea", "sun", "ice"], "kind": "multilabel", "per": "label"},
    "tokens": {"classes": 9, "kind": "tokens"},
    "each token": {"classes": ["O", "B", "I"], "kind": "tokens", "per": "token"},
    "regression": {"kind": "regression"},
    "numbers": {"signals": {"loss": None, "bleu": "low"}, "step": "steps", "every": 50},
    "pass rates": {"signals": ["pass_rate"]},
}
OF_CLASSES = ("named classes", "each label", "each token")
UNBOUNDED = ("regression", "numbers")
every_kind = pytest.mark.parametrize("name", KINDS)


def batch(name: str, epoch: int, rng: np.random.Generator) -> tuple[Any, ...]:
    labels, tags = np.arange(N) % 3, (np.arange(N * 5).reshape(N, 5) * 7 + 1) % 9
    if name == "named classes":
        return rng.normal(size=(N, 3)) + epoch * np.eye(3)[labels], np.array(["ant", "bee", "cat"])[labels]
    if "label" in name:
        y = (np.arange(N * 4).reshape(N, 4) * 5 % 7 < 3).astype(int)
        return rng.normal(size=(N, 4)) + (2 * y - 1) * epoch / 2, y
    if name == "tokens":
        return rng.normal(size=(N, 5, 9)) + epoch * np.eye(9)[tags], tags
    if name == "each token":
        names = np.array(["O", "B", "I"])[tags % 3]
        return rng.normal(size=(N, 5, 3)) + epoch * np.eye(3)[tags % 3], names
    if name == "regression":
        target = np.sin(np.arange(N))
        return target * (1 - 0.5**epoch) + rng.normal(size=N) * 0.1, target
    if name == "numbers":
        return ({"loss": rng.random(N) / (epoch + 1), "bleu": rng.random(N) * 40},)
    return ({"pass_rate": rng.integers(0, 9, N) / 8},)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of every kind, and a map of each first one."""
    folder = tmp_path_factory.mktemp("every-kind")
    for name, said in KINDS.items():
        for seed in (0, 1):
            rng, path = np.random.default_rng(seed), folder / f"{name}-{seed}".replace(" ", "-")
            with tm.Recorder(path, **said) as recorder:
                for epoch in range(E):
                    recorder.update(np.arange(N), *batch(name, epoch, rng))
                    recorder.end_epoch()
        made = tm.DataMap.from_dynamics(opened(folder, name))
        made.save(folder / f"{name}.parquet".replace(" ", "-"))
    return folder


def opened(place: Path, name: str, seed: int = 0) -> tm.Dynamics:
    return tm.Dynamics.open(place / f"{name}-{seed}".replace(" ", "-"))


def drawn(place: Path, name: str) -> tm.DataMap:
    return tm.DataMap.open(place / f"{name}.parquet".replace(" ", "-"))


# --- functions --------------------------------------------------------------------------------------------------------

WORKS: dict[str, Callable[[tm.Dynamics, tm.DataMap, Path], Any]] = {
    "verify": lambda d, m, out: d.verify(),
    "compute": lambda d, m, out: tm.compute(d),
    "a function of a block": lambda d, m, out: tm.compute(d, [lambda block: block[d.signals[0]][-1]]),
    "converged": lambda d, m, out: [tm.converged(d, score) for score in telling_scores(d)],
    "cluster": lambda d, m, out: cluster(d, 3, signal=d.main_signal),
    "export_long": lambda d, m, out: export_long(d, out / "long.parquet"),
    "export_fiftyone": lambda d, m, out: export_fiftyone(m, out / "fields.json", d),
    "export_spotlight": lambda d, m, out: export_spotlight(m, out / "table.csv", d),
    "of_dynamics": lambda d, m, out: of_dynamics(d),
    "of_map": lambda d, m, out: of_map(m),
    "plot_map": lambda d, m, out: tm.plot_map(m, out / "map.png"),
    "compare": lambda d, m, out: tm.compare(m, m),
    "intervals": lambda d, m, out: tm.intervals([m, m], "confidence"),
    "a region": lambda d, m, out: tm.select(m, "20% ambiguous + 20% hard-to-learn + 20% easy-to-learn"),
    "random": lambda d, m, out: tm.select(m, "33% random"),
    "the hard end": lambda d, m, out: tm.select(m, "hardest 20% confidence"),
    "an end": lambda d, m, out: tm.select(m, f"top 20% {m.scores[-1]}"),
    "a card": lambda d, m, out: tm.Selection.open(tm.select(m, "33% random").save(out / "card.json")),
    "with_scores": lambda d, m, out: m.with_scores(m.ids, {"mine": np.arange(len(m))}).save(out / "more.parquet"),
    "with_rule": lambda d, m, out: m.with_rule("quantile", 0.2),
    "beta": lambda d, m, out: tm.select_by(m, "band", 10, score="confidence"),
}  # fmt: skip


@every_kind
@pytest.mark.parametrize("what", WORKS)
def test_what_needs_no_classes_works_on_every_kind(what: str, name: str, place: Path, tmp_path: Path) -> None:
    WORKS[what](opened(place, name), drawn(place, name), tmp_path)


NEEDS: dict[str, tuple[Callable[[tm.Dynamics, tm.DataMap, Path], Any], tuple[str, ...], str]] = {
    "auto": (lambda d, m, out: tm.select(m, "33% auto"), OF_CLASSES, "needs a gold class"),
    "advise": (lambda d, m, out: tm.advise(m, 10), OF_CLASSES, "needs a gold class"),
    "balance": (lambda d, m, out: tm.select(m, "33% random", balance="equal"), OF_CLASSES, "balance needs every label"),
    "forgetting": (lambda d, m, out: tm.compute(d, ["forgetting"]), OF_CLASSES, "not defined for kind '.*can have"),
    "ccs": (lambda d, m, out: tm.select(m, "33% ccs"), OF_CLASSES, "'aum' is not in this map; .*not defined for kind"),
    "threshold samples": (lambda d, m, out: tm.audit_threshold_samples(d, d), (), "threshold samples|extra class"),
    "second split": (lambda d, m, out: second_split(d, d), OF_CLASSES, "not defined for kind"),
    "predictions": (lambda d, m, out: Predictions.from_dynamics(d), OF_CLASSES, "needs a recording of classes"),
    "export_metrics": (lambda d, m, out: export_metrics(d, out / "m.jsonl"), OF_CLASSES, "a recording of classes"),
    "export_study": (lambda d, m, out: export_study(d, out / "s.json"), OF_CLASSES, "needs a recording of classes"),
    "export_epochs": (lambda d, m, out: export_epochs(d, out / "e"), (), "needs a recording of classes|level='logits'"),
    "export_allenai": (lambda d, m, out: export_allenai(d, out / "e"), (), "a recording of classes|level='logits'"),
    "pred_probs": (lambda d, m, out: pred_probs(d), (), "needs a recording of classes|level='logits'"),
    "corner": (
        lambda d, m, out: m.with_rule("corner"),
        tuple(set(KINDS) - set(UNBOUNDED)),
        "rule 'corner' needs a confidence from 0 to 1",
    ),
    "audit": (lambda d, m, out: tm.audit(d), tuple(set(KINDS) - {"numbers", "pass rates"}), "plain numbers alone"),
    "audit by aum": (lambda d, m, out: tm.audit(d, "aum"), OF_CLASSES, "has one rule of its own|plain numbers"),
    "an entropy of what is no share": (
        lambda d, m, out: tm.compute(d, ["bleu_entropy"]),
        (),
        "bleu_entropy needs a bleu from 0 to 1|unknown score|is not defined",
    ),
    "compare of kinds": (lambda d, m, out: tm.compare(m, OTHER[0]), (), "must be of one kind|must have the same"),
}  # fmt: skip
OTHER: list[Any] = []


@every_kind
@pytest.mark.parametrize("what", NEEDS)
def test_what_needs_more_works_or_says_so_in_one_line(what: str, name: str, place: Path, tmp_path: Path) -> None:
    call, works, message = NEEDS[what]
    OTHER[:] = [drawn(place, "tokens" if name != "tokens" else "numbers")]
    if name in works:
        call(opened(place, name), drawn(place, name), tmp_path)
        return
    with pytest.raises(tm.TrainmapError, match=message) as caught:
        call(opened(place, name), drawn(place, name), tmp_path)
    assert len(str(caught.value)) < 900
    assert "\n" not in str(caught.value)


@every_kind
def test_a_map_survives_its_file_and_several_make_one(name: str, place: Path, tmp_path: Path) -> None:
    made, again = tm.DataMap.from_dynamics(opened(place, name)), drawn(place, name)
    assert made.fingerprint == again.fingerprint
    assert (made.kind, made.signals, made.class_names) == (again.kind, again.signals, again.class_names)
    assert made.table.equals(again.table)
    whole = tm.DataMap.from_dynamics([opened(place, name, seed) for seed in (0, 1)])
    opened_again = tm.DataMap.open(whole.save(tmp_path / "whole.parquet"))
    assert opened_again.fingerprint == whole.fingerprint
    assert {"pooled_variability", "disagreement"} <= set(whole.scores)
    both = [tm.DataMap.from_dynamics(opened(place, name, seed)).values("confidence") for seed in (0, 1)]
    np.testing.assert_allclose(whole.values("confidence"), np.mean(both, axis=0))
    np.testing.assert_allclose(whole.values("disagreement"), np.std(both, axis=0), atol=1e-12)


# --- verbs ------------------------------------------------------------------------------------------------------------

VERBS: dict[str, tuple[str, tuple[str, ...] | None]] = {  # None: all kinds
    "score": ("score {d} --out s.csv", None),
    "map": ("map {d} --plot m.png --out m.parquet", None),
    "map of two": ("map {d} {e} --out m.parquet", None),
    "corner": ("map {d} --rule corner --out m.parquet", tuple(set(KINDS) - set(UNBOUNDED))),
    "show a recording": ("show {d}", None),
    "show a map": ("show {m}", None),
    "verify": ("verify {d}", None),
    "select": ("select {m} 33%_ambiguous --out c.json", None),
    "auto": ("select {m} 33%_auto --out c.json", OF_CLASSES),
    "compare": ("compare {d} {e}", None),
    "compare epochs": ("compare {d}", None),
    "audit": ("audit {d} --out a.csv", tuple(set(KINDS) - {"numbers", "pass rates"})),
    "table": ("export table {d} --out t.parquet", None),
    "fiftyone": ("export fiftyone {m} --dynamics {d} --out f.json", None),
    "spotlight": ("export spotlight {m} --dynamics {d} --out f.parquet", None),
    "study": ("export study {d} --out s.json", OF_CLASSES),
    "allenai": ("export allenai {d} --metrics-only --out al", OF_CLASSES),
    "pred-probs": ("export pred-probs {d} --out p.npz", ()),
}


@every_kind
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_works_on_every_kind_or_says_why_in_one_line(
    verb: str, name: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line, works = VERBS[verb]
    stem = name.replace(" ", "-")
    paths = {"d": place / f"{stem}-0", "e": place / f"{stem}-1", "m": place / f"{stem}.parquet"}
    words = [
        word.format(**paths).replace("_", " ") if word.startswith("33%") else word.format(**paths)
        for word in line.split()
    ]
    found = CliRunner().invoke(app, words)
    if works is None or name in works:
        assert found.exit_code == 0, found.exception
    else:
        assert isinstance(found.exception, tm.TrainmapError), found.output
        assert "\n" not in str(found.exception)


def test_names_of_classes_are_shown_where_labels_are(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recording = place / "named-classes-0"
    assert "ant" in CliRunner().invoke(app, ["show", str(recording)]).output
    assert "50 steps" in CliRunner().invoke(app, ["show", str(place / "numbers-0")]).output
    found = tm.audit(tm.Dynamics.open(recording), threshold=-2.0)
    assert set(found.table["label_name"].to_list()) == {"ant", "bee", "cat"}
    assert "suggested_name" in found.table.columns
    assert "ant" in CliRunner().invoke(app, ["audit", str(recording), "--threshold=-2", "--out", "a.csv"]).output
