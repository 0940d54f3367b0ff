"""One map of several recordings: what its columns are, by hand, and what holds for all of them."""

from __future__ import annotations

import io
import math
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats
from typer.testing import CliRunner

from trainmap.cli.app import app
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.maps import ensemble
from trainmap.maps.datamap import DataMap
from trainmap.maps.map_file import AXES
from trainmap.maps.over_seeds import agreement_by_members
from trainmap.scores.compute import compute
from trainmap.scores.table import OF_SEVERAL, hard_end, hard_first, score
from trainmap.selection.select import select
from trainmap.views.summary import summary

LABELS = np.array([0, 1, 2, 0, 1, 2, 0])


def recorded(
    folder: Path,
    p: Any,
    labels: Any = LABELS,
    ids: Any = None,
    order: Sequence[int] | None = None,
    classes: int = 3,
    **how: Any,
) -> Dynamics:
    """A recording in which example i has p(gold) ``p[epoch][i]``; NaN: not seen. Logits of the others are equal."""
    p, labels = np.asarray(p, float), np.asarray(labels)
    ids = np.arange(len(labels)) if ids is None else np.asarray(ids)
    place = np.arange(len(labels)) if order is None else np.asarray(order)
    options = {"source": "train", "level": "signals", "rank": 0, "world_size": 1} | how
    with Recorder(folder, classes, ids[place], labels[place], **options) as recorder:
        for row in p:
            seen = place[~np.isnan(row[place])]
            gold = np.log(row[seen] * (classes - 1) / (1 - row[seen]))
            logits = np.zeros((len(seen), classes))
            logits[np.arange(len(seen)), labels[seen]] = gold
            recorder.update(ids[seen], logits, labels[seen])
            recorder.end_epoch(allow_missing=True)
    return Dynamics.open(folder)


def some(seed: int, epochs: int = 4, n: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.05, 0.95, (epochs, n))


@pytest.fixture
def three(tmp_path: Path) -> list[Dynamics]:
    return [recorded(tmp_path / str(seed), some(seed)) for seed in range(3)]


def p_of(members: Sequence[Dynamics]) -> np.ndarray:
    """(members, epochs, examples) as they were kept."""
    return np.stack([[one.column(e, "p_gold") for e in range(one.epochs)] for one in members]).astype(np.float64)


# --- what the columns are ---


def test_the_columns_by_hand(tmp_path: Path) -> None:
    a = recorded(tmp_path / "a", [[0.2, 0.5], [0.4, 0.5]], [0, 1])
    b = recorded(tmp_path / "b", [[0.6, 0.5], [1 - 1e-9, 0.5]], [0, 1])
    found = DataMap.from_dynamics([a, b], [])
    assert found.scores == ["confidence", "variability", "correctness", "pooled_variability", "disagreement"]
    assert (found.members, found.epochs) == (2, 2)
    first = found.table.row(0, named=True)
    assert first["confidence"] == pytest.approx((0.3 + 0.8) / 2, abs=1e-6)
    assert first["variability"] == pytest.approx((0.1 + 0.2) / 2, abs=1e-6)
    assert first["correctness"] == (1 + 2) / 2
    assert first["pooled_variability"] == pytest.approx(np.std([0.2, 0.4, 0.6, 1.0]), abs=1e-6)
    assert first["disagreement"] == pytest.approx(0.25, abs=1e-6)
    second = found.table.row(1, named=True)
    assert second["variability"] == second["pooled_variability"] == second["disagreement"] == 0


def test_every_score_is_the_mean_of_those_of_the_members(three: list[Dynamics]) -> None:
    def spread(block: Any) -> Any:
        return block["p_gold"].max(axis=0) - block["p_gold"].min(axis=0)

    names: list[Any] = ["aum", "el2n", "slope", "entropy", spread]
    found = DataMap.from_dynamics(three, names)
    for name, column in {**compute(three[0], [*AXES, *names])}.items():
        each = np.stack([compute(one, [*AXES, *names])[name] for one in three])
        assert column.shape == (7,)
        np.testing.assert_allclose(found.values(name), each.mean(axis=0), rtol=1e-12)
    assert set(DataMap.from_dynamics(three).scores) >= {"confidence", "aum", "loss", *OF_SEVERAL}


def test_an_example_that_a_member_never_saw_is_left_out_there_and_one_that_none_saw_has_no_value(
    tmp_path: Path,
) -> None:
    nan = math.nan
    a = recorded(tmp_path / "a", [[0.2, nan, nan, 0.9], [0.4, nan, nan, 0.9]], [0, 1, 2, 0])
    b = recorded(tmp_path / "b", [[0.6, 0.3, nan, 0.8], [0.8, 0.5, nan, nan]], [0, 1, 2, 0])
    found = DataMap.from_dynamics([a, b], [])
    confidence, pooled, between = (found.values(n) for n in ("confidence", "pooled_variability", "disagreement"))
    np.testing.assert_allclose(confidence, [0.5, 0.4, nan, 0.85], atol=1e-6)
    by_hand = np.array([np.std([0.2, 0.4, 0.6, 0.8]), 0.1, nan, np.std([0.9, 0.9, 0.8])])
    np.testing.assert_allclose(pooled, by_hand, atol=1e-6)
    np.testing.assert_allclose(between, [0.2, nan, nan, 0.05], atol=1e-6)


def test_what_a_member_never_learned_is_infinite_in_the_mean(tmp_path: Path) -> None:
    a, b = (recorded(tmp_path / n, [[p, 0.9]] * 2, [0, 1]) for n, p in (("a", 0.1), ("b", 0.8)))
    assert DataMap.from_dynamics([a, b], ["forgetting"]).values("forgetting").tolist() == [math.inf, 0.0]


@given(
    seed=st.integers(0, 2**31),
    members=st.integers(2, 5),
    epochs=st.integers(1, 6),
    missing=st.sampled_from([0.0, 0.0, 0.3]),
)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pooled_is_within_and_between(
    tmp_path_factory: pytest.TempPathFactory, seed: int, members: int, epochs: int, missing: float
) -> None:
    folder, rng = tmp_path_factory.mktemp("pooled"), np.random.default_rng(seed)
    p = rng.uniform(0.01, 0.99, (members, epochs, 7))
    p[rng.random(p.shape) < missing] = math.nan
    runs = [recorded(folder / str(k), p[k]) for k in range(members)]
    found = DataMap.from_dynamics(runs, [])
    kept = p_of(runs).reshape(-1, 7)
    for i in range(7):
        values = kept[:, i][~np.isnan(kept[:, i])]
        expected = np.std(values) if len(values) else math.nan
        np.testing.assert_allclose(found.values("pooled_variability")[i], expected, atol=1e-9)
    between, inside = (
        found.values("disagreement"),
        np.stack([compute(one, ["variability"])["variability"] for one in runs]),
    )
    for name in OF_SEVERAL:
        values = found.values(name)
        assert ((values >= 0) & (values <= 0.5) | np.isnan(values)).all()
    if not missing:
        both = np.sqrt((inside**2).mean(axis=0) + between**2)
        np.testing.assert_allclose(found.values("pooled_variability"), both, atol=1e-12)
    again = DataMap.from_dynamics([runs[k] for k in rng.permutation(members)], [])
    assert again.fingerprint == found.fingerprint  # to the last bit


def test_the_largest_disagreement_is_one_half(tmp_path: Path) -> None:
    sure = [recorded(tmp_path / str(k), [[p, p]] * 2, [0, 1]) for k, p in enumerate((1e-9, 1 - 1e-9))]
    assert DataMap.from_dynamics(sure, []).values("disagreement") == pytest.approx([0.5, 0.5], abs=1e-6)


def test_neither_the_order_of_the_ids_nor_the_blocks_change_a_bit(
    tmp_path: Path, three: list[Dynamics], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = DataMap.from_dynamics(three)
    turned = [recorded(tmp_path / f"t{seed}", some(seed), order=[6, 2, 0, 5, 1, 3, 4]) for seed in range(3)]
    assert DataMap.from_dynamics(turned[::-1]).fingerprint == before.fingerprint
    monkeypatch.setattr("trainmap.scores.compute.BLOCK_ROWS", 2)
    monkeypatch.setattr("trainmap.scores.compute.LEAST_ROWS", 1)
    assert DataMap.from_dynamics(three, workers=2).fingerprint == before.fingerprint


def test_string_ids_and_running_sums_do_as_well(tmp_path: Path, three: list[Dynamics]) -> None:
    names = [f"n{i}" for i in range(7)]
    sums = [recorded(tmp_path / f"s{k}", some(k), ids=names, level="stats") for k in range(3)]
    found, epochs = DataMap.from_dynamics(sums), DataMap.from_dynamics(three)
    for name in (*AXES, *OF_SEVERAL, "aum"):
        np.testing.assert_allclose(found.values(name), epochs.values(name), atol=1e-6)


def test_progress_counts_each_member_and_a_memory_that_does_not_suffice_is_told(three: list[Dynamics]) -> None:
    done: list[int] = []
    DataMap.from_dynamics(three, [], on_progress=done.append)
    assert sum(done) == 21
    with pytest.raises(TrainmapError, match="on_progress must be a function of a number, got 3"):
        DataMap.from_dynamics(three, [], on_progress=3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TrainmapError, match="max_memory must be at least"):
        DataMap.from_dynamics(three, [], max_memory=1000)


# --- what is no ensemble ---


def test_recordings_that_do_not_belong_together_are_refused(tmp_path: Path, three: list[Dynamics]) -> None:
    a = three[0]
    wrong = LABELS.copy()
    wrong[[2, 4]] = 0
    cases: list[tuple[Any, str]] = [
        ([a, recorded(tmp_path / "ids", some(5), ids=[0, 1, 2, 3, 4, 5, 9])], r"differ in 2 ids \(first: 6\)"),
        ([a, recorded(tmp_path / "few", some(5)[:, :6], LABELS[:6])], r"differ in 1 ids \(first: 6\)"),
        ([recorded(tmp_path / "fewer", some(5)[:, :6], LABELS[:6]), a], r"differ in 1 ids \(first: 6\)"),
        ([a, recorded(tmp_path / "text", some(5), ids=list("abcdefg"))], "integer ids and some strings"),
        ([a, recorded(tmp_path / "labels", some(5), wrong)], r"differ in 2 labels \(first: id 2 is 2 and 0\)"),
        ([a, recorded(tmp_path / "sweep", some(5), source="sweep")], "same source .* has train and .* sweep"),
        ([a, recorded(tmp_path / "wide", some(5), classes=4)], "same number of classes: .* 3 and .* 4"),
        ([a, recorded(tmp_path / "long", some(5, 6))], "has 4, .* has 6; pass epochs=4"),
        ([a, a], "holds the same epochs as"),
        ([a], "at least two recordings, got 1; for a map of one pass the recording itself"),
        ([], "at least two recordings, got 0"),
        ([a, "b"], "a recording is needed, got 'b'"),
        (str(a.path), "a recording is needed"),
    ]
    for members, said in cases:
        with pytest.raises(TrainmapError, match=said):
            DataMap.from_dynamics(members)
    shutil.copytree(a.path, tmp_path / "copy")
    with pytest.raises(TrainmapError, match="each member must be a training of its own"):
        DataMap.from_dynamics([a, three[1], Dynamics.open(tmp_path / "copy")])


def test_the_first_epochs_of_recordings_of_other_lengths_do(tmp_path: Path, three: list[Dynamics]) -> None:
    longer = recorded(tmp_path / "long", some(9, 6))
    found = DataMap.from_dynamics([three[0], longer], [], epochs=4)
    assert found.epochs == 4
    with pytest.raises(TrainmapError, match="epochs must be 1 to 4"):
        DataMap.from_dynamics([three[0], longer], epochs=5)


def test_the_columns_of_several_are_of_no_single_recording_and_their_names_are_taken(three: list[Dynamics]) -> None:
    def disagreement(block: Any) -> Any:
        return block["p_gold"][0]

    assert "disagreement" in DataMap.from_dynamics(three, ["disagreement", "aum"]).scores
    for ask in (lambda: compute(three[0], ["disagreement"]), lambda: score("disagreement")(three[0].block())):
        with pytest.raises(TrainmapError, match=r"disagreement is of several recordings; DataMap.from_dynamics\(\[a"):
            ask()
    with pytest.raises(TrainmapError, match="rename the function"):
        DataMap.from_dynamics(three, [disagreement])
    with pytest.raises(TrainmapError, match="A map of several recordings has it"):
        DataMap.from_dynamics(three[0]).values("disagreement")


# --- what is done with it ---


def test_a_map_of_several_is_saved_opened_shown_and_chosen_from(tmp_path: Path, three: list[Dynamics]) -> None:
    found = DataMap.from_dynamics(three)
    again = DataMap.open(found.save(tmp_path / "map.parquet"))
    assert (again.fingerprint, again.members) == (found.fingerprint, 3)
    assert DataMap.open(DataMap.from_dynamics(three[0]).save(tmp_path / "one.parquet")).members == 1
    shown = io.StringIO()
    Console(file=shown, width=100).print(summary(tmp_path / "map.parquet"))
    assert re.search(r"recordings +3", shown.getvalue())
    assert hard_end("disagreement") == hard_end("pooled_variability") == "high"
    chosen = select(found, "hardest 3 disagreement")
    first = hard_first("disagreement", found.values("disagreement"), found.ids)[:3]
    assert chosen.ids.tolist() == sorted(first.tolist())


def test_the_command_is_the_twin_of_the_call(tmp_path: Path, three: list[Dynamics]) -> None:
    out = tmp_path / "map.parquet"
    paths = [str(one.path) for one in three]
    ran = CliRunner().invoke(app, ["map", *paths, "--out", str(out), "--scores", "aum"])
    assert ran.exit_code == 0, ran.output
    assert "of 3 recordings: 7 examples, confidence" in ran.output
    assert DataMap.open(out).fingerprint == DataMap.from_dynamics(three, ["aum"]).fingerprint
    ran = CliRunner().invoke(app, ["map", paths[0], "--out", str(out)])
    assert DataMap.open(out).fingerprint == DataMap.from_dynamics(three[0]).fingerprint


# --- how many members a ranking needs ---


def seeds_of(count: int, n: int = 400, noise: float = 1.0) -> list[DataMap]:
    """Maps whose confidence is the same truth with noise of its own for each."""
    truth = np.random.default_rng(99).normal(size=n)
    found: list[DataMap] = []
    for k in range(count):
        seen = truth + noise * np.random.default_rng(k).normal(size=n)
        columns = {name: pl.Series(1 / (1 + np.exp(-seen))) for name in AXES}
        table = pl.DataFrame(
            {"id": range(n), "label": [0] * n, **columns, "region": pl.Series([None] * n, dtype=pl.String)}
        )
        found.append(DataMap(table, 5, "quantile", 1 / 3, "train", "data"))
    return found


def rho_of(a: DataMap, b: DataMap) -> float:
    return float(np.asarray(stats.spearmanr(a.values("confidence"), b.values("confidence")))[0])


def test_agreement_of_two_single_maps_is_the_mean_over_all_pairs() -> None:
    maps = seeds_of(4)
    table = agreement_by_members(maps, sizes=[1])
    row = table.row(0, named=True)
    each = [rho_of(maps[i], maps[j]) for i in range(4) for j in range(i)]
    assert row["spearman"] == pytest.approx(np.mean(each))
    assert (row["pairs"], row["maps"], row["members"]) == (6, 4, 1)


def test_the_interval_is_the_jackknife_over_maps_by_hand() -> None:
    maps = seeds_of(4)
    row = agreement_by_members(maps, sizes=[1]).row(0, named=True)
    rho = {(i, j): rho_of(maps[i], maps[j]) for i in range(4) for j in range(i + 1, 4)}
    without = np.array([np.arctanh(np.mean([v for pair, v in rho.items() if k not in pair])) for k in range(4)])
    half = stats.t.ppf(0.975, 3) * math.sqrt(3 / 4 * np.sum((without - np.mean(without)) ** 2))
    middle = np.arctanh(np.mean(list(rho.values())))
    assert (row["low"], row["high"]) == pytest.approx((np.tanh(middle - half), np.tanh(middle + half)))


def test_more_members_agree_more_as_spearman_and_brown_say() -> None:
    maps = seeds_of(12, n=4000)
    table = agreement_by_members(maps, pairs=60)
    assert table["members"].to_list() == [1, 2, 3, 4, 5, 6]
    found = table["spearman"].to_numpy()
    assert (np.diff(found) > 0).all()
    for k in range(1, 7):  # k r / (1 + (k - 1) r), of normal values and nearly so of their ranks
        assert found[k - 1] == pytest.approx(k * found[0] / (1 + (k - 1) * found[0]), abs=0.02)
    assert table["low"].null_count() == 1  # 6 and 6 of 12: leaving one out leaves nothing
    assert (table["low"].drop_nulls() < table["spearman"][:5]).all()
    assert table["pairs"].to_list()[0] == 60


@pytest.mark.slow
def test_the_interval_holds_the_figure_of_fresh_trainings() -> None:
    inside = 0
    truth = agreement_by_members(seeds_of(40, n=300), sizes=[2], pairs=400)["spearman"][0]
    fresh = seeds_of(200, n=300)
    for start in range(0, 200, 8):
        row = agreement_by_members(fresh[start : start + 8], sizes=[2], pairs=100).row(0, named=True)
        inside += row["low"] <= truth <= row["high"]
    assert inside >= 21  # of 25 at 95 %


def test_disagreement_needs_two_members_and_the_drawn_pairs_are_disjoint_and_the_same_again() -> None:
    maps = seeds_of(6, n=60)
    table = agreement_by_members(maps, "disagreement")
    assert table["members"].to_list() == [2, 3]
    assert agreement_by_members(maps, "disagreement").equals(table)
    from trainmap.maps.over_seeds import _disjoint

    for count, size, most in ((6, 2, 1000), (6, 3, 1000), (9, 2, 7)):
        drawn = list(_disjoint(count, size, most, np.random.default_rng(0)))
        assert all(len({*a, *b}) == 2 * size for a, b in drawn)
        expected = math.comb(count, size) * math.comb(count - size, size) // 2
        assert len(drawn) == min(most, expected)
        if expected <= most:
            assert len({frozenset((frozenset(a), frozenset(b))) for a, b in drawn}) == expected


def test_maps_that_agree_fully_or_have_no_ranking_have_no_interval() -> None:
    alike = seeds_of(5, n=50, noise=0.0)
    row = agreement_by_members(alike, sizes=[1]).row(0, named=True)
    assert (row["spearman"], row["low"], row["high"]) == (1.0, None, None)
    flat = [
        DataMap(one.table.with_columns(confidence=pl.lit(0.5)), 5, "quantile", 1 / 3, "train", "d") for one in alike
    ]
    assert agreement_by_members(flat, sizes=[1])["spearman"].to_list() == [None]
    two = agreement_by_members(seeds_of(2, n=50)).row(0, named=True)
    assert two["low"] is None
    assert 0 < two["spearman"] < 1


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"sizes": [3]}, "confidence with 3 members needs two ensembles without a common map, of 6 maps; got 4"),
        ({"sizes": [0]}, "sizes must be a whole number of at least 1"),
        ({"score": "disagreement", "sizes": [1]}, "sizes must be a whole number of at least 2"),
        ({"score": "pooled_variability"}, "needs its recordings"),
        ({"score": "aum"}, "score 'aum' is not in this map"),
        ({"fraction": 0}, "fraction must lie between 0 and 1"),
        ({"level": 1}, "level must lie between 0 and 1"),
        ({"pairs": 0}, "pairs must be a whole number"),
        ({"sample": 1}, "sample must be a whole number of at least 2"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_a_question_that_cannot_be_is_refused(how: dict[str, Any], said: str) -> None:
    with pytest.raises(TrainmapError, match=said):
        agreement_by_members(seeds_of(4, n=20), **how)


def test_maps_of_several_and_fewer_than_two_are_refused(three: list[Dynamics]) -> None:
    both = [DataMap.from_dynamics(three), DataMap.from_dynamics(three[:2])]
    with pytest.raises(TrainmapError, match="of one recording each, got one of 3"):
        agreement_by_members(both)
    with pytest.raises(TrainmapError, match="of 2 maps; got 1"):
        agreement_by_members(seeds_of(1, n=20))


def test_spread_is_that_of_numpy_whatever_the_groups() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(1e3, 1e-3, (40, 5))
    spread = ensemble.Spread(5)
    for part in np.split(values, [1, 4, 20]):
        spread.add(slice(0, 5), part.mean(axis=0), part.var(axis=0), np.full(5, float(len(part))))
    np.testing.assert_allclose(spread.deviation(1), values.std(axis=0), rtol=1e-6)
