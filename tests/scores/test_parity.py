"""The published codes beside ours: allenai/cartography (golden output), the aum package, cleanlab, and formulas."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trainmap.dynamics.signals import Block
from trainmap.dynamics.store import Dynamics
from trainmap.scores.compute import compute
from trainmap.scores.table import score

Array = NDArray[Any]

GOLDEN = json.loads((Path(__file__).parents[1] / "recorded" / "allenai_golden.json").read_text())

# the peer's column -> our score, by its convention where there are several
ALLENAI = {
    "confidence": "confidence",
    "threshold_closeness": "threshold_closeness",
    "correctness": "correctness",
    "forgetfulness": "forgetting_allenai",
}


def golden_logits() -> tuple[list[str], Array, Array]:
    """(guids, (E, N, C) logits, (N,) labels) of the golden input."""
    epochs = GOLDEN["epochs"]
    logits = [[row[f"logits_epoch_{e}"] for row in epoch] for e, epoch in enumerate(epochs)]
    return [row["guid"] for row in epochs[0]], np.array(logits, float), np.array([row["gold"] for row in epochs[0]])


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda c: f"burn_out={c['burn_out']}-ci={c['include_ci']}")
def test_allenai_cartography_gives_the_same_map(record: Callable[..., Dynamics], case: dict[str, Any]) -> None:
    guids, logits, labels = golden_logits()
    dynamics = record(logits, labels, ids=guids)
    epochs = min(case["burn_out"], len(logits))  # the first epochs are kept: a cut-off, not a warm-up
    spread = "variability_allenai_ci" if case["include_ci"] else "variability_allenai"
    names = {**ALLENAI, "variability": spread}
    values = compute(dynamics, list(names.values()), epochs=epochs)
    theirs = {row["guid"]: row for row in case["metrics"]}
    assert len(theirs) == len(guids)
    for column, name in names.items():
        expected = [theirs[guid][column] for guid in dynamics.ids.tolist()]
        np.testing.assert_allclose(values[name], expected, rtol=0, atol=1e-7, err_msg=name)
    for name in ("correctness", "forgetting_allenai"):
        column = "correctness" if name == "correctness" else "forgetfulness"
        assert values[name].tolist() == [theirs[guid][column] for guid in dynamics.ids.tolist()]


def random_dynamics(seed: int, epochs: int = 7, n: int = 120, classes: int = 5) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 4, (epochs, n, classes)).astype(np.float32)
    return logits, generator.integers(0, classes, n)


def test_the_aum_package_gives_the_same_area_under_the_margin(tmp_path: Path, record: Callable[..., Dynamics]) -> None:
    torch, aum = pytest.importorskip("torch"), pytest.importorskip("aum")
    logits, labels = random_dynamics(0)
    names = [f"x{i:03d}" for i in range(len(labels))]
    calculator = aum.AUMCalculator(str(tmp_path), compressed=True)
    for epoch in logits:
        order = np.random.default_rng(1).permutation(len(labels))
        for batch in np.array_split(order, 4):
            calculator.update(torch.tensor(epoch[batch]), torch.tensor(labels[batch]), [names[i] for i in batch])
    calculator.finalize()
    with open(tmp_path / "aum_values.csv") as handle:
        theirs = {row["sample_id"]: float(row["aum"]) for row in csv.DictReader(handle)}
    dynamics = record(logits, labels, ids=names)
    ours = compute(dynamics, ["aum", "aum_pleiss"])
    np.testing.assert_allclose(ours["aum"], [theirs[name] for name in dynamics.ids.tolist()], rtol=0, atol=2e-6)
    assert np.array_equal(ours["aum"], ours["aum_pleiss"])


def test_the_aum_package_stops_at_a_batch_of_one_and_the_recorder_does_not(
    tmp_path: Path, record: Callable[..., Dynamics]
) -> None:
    torch, aum = pytest.importorskip("torch"), pytest.importorskip("aum")
    calculator = aum.AUMCalculator(str(tmp_path), compressed=True)
    with pytest.raises(TypeError):
        calculator.update(torch.tensor([[2.0, 0.5]]), torch.tensor([0]), ["one"])
    assert compute(record([[[2.0, 0.5]]], [0], ids=["one"]), ["aum"])["aum"].tolist() == [1.5]


def test_cleanlab_gives_the_same_self_confidence_and_normalized_margin() -> None:
    rank = pytest.importorskip("cleanlab.rank")
    logits, labels = random_dynamics(2, epochs=1, n=400)
    block = Block.from_logits(logits, labels)
    z = logits[0].astype(np.float64)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        score("confidence")(block), rank.get_self_confidence_for_each_label(labels, p), rtol=0, atol=5e-7
    )
    # cleanlab maps the margin of probabilities from [-1, 1] to [0, 1]
    ours = (score("aum", "datacull")(block) + 1) / 2
    np.testing.assert_allclose(ours, rank.get_normalized_margin_for_each_label(labels, p), rtol=0, atol=5e-7)


def test_the_coverage_centric_sums_are_those_of_its_formula() -> None:
    logits, labels = random_dynamics(3, epochs=13)
    block = Block.from_logits(logits, labels)
    z = logits.astype(np.float64)
    p = np.exp(z - z.max(axis=2, keepdims=True))
    p /= p.sum(axis=2, keepdims=True)
    here = np.arange(len(labels))
    gold, others = p[:, here, labels], p.copy()
    others[:, here, labels] = 0
    one_hot = np.eye(5)[labels]
    expected = {
        "aum_ccs": (gold - others.max(axis=2)).sum(axis=0),
        "el2n_ccs": np.sqrt(((p - one_hot) ** 2).sum(axis=2))[:10].sum(axis=0),
        "entropy_ccs": -(p[-1] * np.log(p[-1])).sum(axis=1),
        "loss_ccs": -np.log(gold[-1]),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(score(name)(block), values, rtol=1e-6, atol=5e-6, err_msg=name)


def test_the_conventions_of_dynamic_uncertainty_are_those_of_the_published_codes() -> None:
    torch = pytest.importorskip("torch")
    logits, labels = random_dynamics(4, epochs=32)
    block = Block.from_logits(logits, labels)
    p = torch.tensor(block.p_gold.astype(np.float64))
    windows = p.unfold(0, 10, 1)  # (23, n, 10)
    spread, mean = windows.std(dim=2) * 10, windows.mean(dim=2)
    expected = {
        "dyn_unc_baai": spread[:-1].mean(dim=0),  # the last window is left out
        "dyn_unc_cho": spread.mean(dim=0),
        "dual_cho": (spread * (1 - mean))[:21].mean(dim=0),  # windows within the first 30 epochs
    }
    for name, values in expected.items():
        np.testing.assert_allclose(score(name)(block), values.numpy(), rtol=1e-12, atol=1e-12, err_msg=name)
