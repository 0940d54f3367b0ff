"""DataMap: made from a recording, saved, opened, joined with scores from elsewhere, and refused when it is not one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from trainmap.dynamics.signals import Block
from trainmap.dynamics.store import Dynamics
from trainmap.errors import StoreError, TrainmapError
from trainmap.maps.datamap import DataMap
from trainmap.maps.regions import REGIONS, assign
from trainmap.scores.compute import available, compute

Array = NDArray[Any]
Record = Callable[..., Dynamics]


def make(epochs: int = 4, n: int = 30, missing: float = 0.0, seed: int = 0) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 3, (epochs, n, 3)).astype(np.float32)
    logits[generator.random((epochs, n)) < missing] = np.nan
    return logits, generator.integers(0, 3, n)


@pytest.fixture
def dynamics(record: Record) -> Dynamics:
    return record(*make())


@pytest.fixture
def datamap(dynamics: Dynamics) -> DataMap:
    return DataMap.from_dynamics(dynamics)


def test_a_map_is_one_row_for_each_example_in_id_order(dynamics: Dynamics, datamap: DataMap) -> None:
    assert datamap.table.columns == ["id", "label", *datamap.scores, "region"]
    assert datamap.ids.tolist() == dynamics.ids.tolist() == sorted(dynamics.ids.tolist())
    assert datamap.labels.tolist() == dynamics.labels.tolist()
    assert (datamap.epochs, datamap.rule, datamap.fraction) == (4, "quantile", 1 / 3)
    assert (datamap.source, datamap.dataset, len(datamap)) == ("train", dynamics.fingerprint, 30)
    assert set(datamap.table["region"].to_list()) <= {*REGIONS, None}


def test_the_axes_are_there_whatever_was_asked_for(dynamics: Dynamics) -> None:
    datamap = DataMap.from_dynamics(dynamics, ["aum"])
    assert datamap.scores == ["confidence", "variability", "correctness", "aum"]
    assert set(DataMap.from_dynamics(dynamics).scores) == set(available(dynamics))


def test_the_columns_are_the_scores_and_the_regions_are_the_rules(dynamics: Dynamics) -> None:
    values = compute(dynamics)
    for rule, fraction in (("quantile", 0.2), ("corner", 1 / 3)):
        datamap = DataMap.from_dynamics(dynamics, rule=rule, fraction=fraction)  # type: ignore[arg-type]
        for name, column in values.items():
            assert np.array_equal(datamap.values(name), column, equal_nan=True)
        expected = assign(values["variability"], values["confidence"], dynamics.epochs, rule, fraction)  # type: ignore[arg-type]
        assert datamap.table["region"].to_list() == expected.tolist()
        assert DataMap.from_dynamics(dynamics).with_rule(rule, fraction).table.equals(datamap.table)  # type: ignore[arg-type]


def test_the_first_epochs_alone_make_a_map_of_the_scores_that_they_suffice_for(record: Record) -> None:
    logits, labels = make(epochs=12)
    whole, early = record(logits, labels), record(logits[:5], labels, name="early")
    datamap = DataMap.from_dynamics(whole, epochs=5)
    assert datamap.epochs == 5
    assert {"dyn_unc", "dual"}.isdisjoint(datamap.scores)
    assert datamap.table.equals(DataMap.from_dynamics(early).table)
    assert "slope" not in DataMap.from_dynamics(whole, epochs=1).scores
    with pytest.raises(TrainmapError, match="epochs must be 1 to 12"):
        DataMap.from_dynamics(whole, epochs=13)


def test_an_example_that_was_never_seen_has_no_values_and_no_region(record: Record) -> None:
    logits, labels = make(n=6)
    logits[:, 2] = np.nan
    datamap = DataMap.from_dynamics(record(logits, labels))
    row = datamap.table.row(2, named=True)
    assert row["region"] is None
    assert all(np.isnan(row[name]) for name in datamap.scores)
    assert row["label"] == labels[2]


@pytest.mark.parametrize("kind", ["int", "str"])
def test_the_order_in_which_examples_came_changes_nothing(record: Record, kind: str) -> None:
    logits, labels = make()
    ids = np.arange(30) * 7 - 40
    names: Any = ids if kind == "int" else np.array([f"ex-{i}" for i in ids])
    order = np.random.default_rng(3).permutation(30)
    one = DataMap.from_dynamics(record(logits, labels, ids=names))
    other = DataMap.from_dynamics(
        record(logits[:, order], labels[order], ids=names[order], order=np.arange(29, -1, -1), name="other")
    )
    assert one.table.equals(other.table)
    assert one.fingerprint == other.fingerprint
    assert one.ids.dtype.kind == ("i" if kind == "int" else "U")


@pytest.mark.parametrize("kind", ["int", "str"])
def test_a_saved_map_opens_as_it_was(record: Record, tmp_path: Path, kind: str) -> None:
    logits, labels = make(missing=0.2)
    ids = np.arange(30) if kind == "int" else np.array([f"häus-{i}" for i in range(30)])
    datamap = DataMap.from_dynamics(record(logits, labels, ids=ids), rule="corner", fraction=0.25)
    path = datamap.save(tmp_path / "deep" / "map.parquet")
    opened = DataMap.open(path)
    assert opened.table.equals(datamap.table)
    assert opened.fingerprint == datamap.fingerprint
    for name in ("epochs", "rule", "fraction", "source", "dataset"):
        assert getattr(opened, name) == getattr(datamap, name)
    assert pl.read_parquet(path).columns == datamap.table.columns  # without trainmap


def test_a_map_whose_rows_were_shuffled_on_disk_opens_in_id_order(datamap: DataMap, tmp_path: Path) -> None:
    path = datamap.save(tmp_path / "map.parquet")
    table = pq.read_table(path)
    order = np.random.default_rng(0).permutation(table.num_rows)
    pq.write_table(table.take(pa.array(order)), path)
    assert DataMap.open(path).table.equals(datamap.table)


def test_the_fingerprint_changes_with_anything_that_changes_a_selection(datamap: DataMap) -> None:
    table = datamap.table
    others = [
        replace(datamap, rule="corner"),
        replace(datamap, table=table.with_columns(confidence=pl.col("confidence") + 1e-12)),
        replace(datamap, table=table.with_columns(label=(pl.col("label") + 1) % 3)),
        replace(datamap, table=table.with_columns(id=pl.col("id") * 2)),
        replace(datamap, table=table.rename({"aum": "mua"})),
        replace(datamap, table=table.drop("aum")),
    ]
    assert len({datamap.fingerprint, *(other.fingerprint for other in others)}) == 7
    assert replace(datamap, table=table.with_columns(note=pl.lit("x"))).fingerprint == datamap.fingerprint
    zeros = table.with_columns(loss=pl.lit(0.0))
    assert (
        replace(datamap, table=zeros).fingerprint
        == replace(datamap, table=zeros.with_columns(loss=-pl.col("loss"))).fingerprint
    )


def test_a_score_of_your_own_is_a_function_of_a_block(dynamics: Dynamics) -> None:
    def confident(block: Block) -> Array:
        return block.mean_of(block.p_gold > 0.5)

    datamap = DataMap.from_dynamics(dynamics, ["aum", confident])
    assert datamap.scores == ["confidence", "variability", "correctness", "aum", "confident"]
    assert np.array_equal(datamap.values("confident"), confident(dynamics.block()))


@pytest.mark.parametrize("name", ["id", "label", "region"])
def test_a_score_cannot_take_the_name_of_another_column(dynamics: Dynamics, name: str) -> None:
    def own(block: Block) -> Array:
        return np.zeros(len(block))

    own.__name__ = name
    with pytest.raises(TrainmapError, match=f"a score cannot be called '{name}'"):
        DataMap.from_dynamics(dynamics, [own])


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"scores": ["variabilty"]}, "did you mean 'variability'"),
        ({"scores": ["aum", "aum"]}, "asked for twice"),
        ({"rule": "quantil"}, "unknown rule 'quantil'; did you mean 'quantile'"),
        ({"fraction": 0}, "fraction must be above 0 and at most 1, got 0"),
        ({"fraction": 1.5}, "fraction must be above 0"),
        ({"epochs": 0}, "epochs must be 1 to 4"),
    ],
)
def test_what_a_map_cannot_be_made_from_is_said(dynamics: Dynamics, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        DataMap.from_dynamics(dynamics, **keywords)


def test_a_score_that_is_not_in_the_map_is_named_beside_those_that_are(dynamics: Dynamics) -> None:
    with pytest.raises(
        TrainmapError, match="score 'aum' is not in this map; it has confidence, correctness, variability"
    ):
        DataMap.from_dynamics(dynamics, []).values("aum")


def test_the_overlap_of_the_regions_is_given_pair_by_pair(datamap: DataMap) -> None:
    shares = datamap.overlap()
    assert len(shares) == 3
    assert all(0 <= share <= 1 for share in shares.values())
    assert shares[("easy-to-learn", "hard-to-learn")] == 0


# --- scores from elsewhere ------------------------------------------------------------------------------------------


def test_scores_made_elsewhere_join_by_id(datamap: DataMap) -> None:
    order = np.random.default_rng(1).permutation(30)
    joined = datamap.with_scores(datamap.ids[order], {"vog": order * 2.0, "grand": order.tolist()})
    assert joined.values("vog").tolist() == [2.0 * i for i in range(30)]
    assert joined.values("grand").tolist() == list(range(30))
    assert joined.table.columns == [*datamap.table.columns[:-1], "vog", "grand", "region"]
    assert "vog" not in datamap.scores


def test_scores_of_some_examples_join_when_that_is_allowed(datamap: DataMap) -> None:
    joined = datamap.with_scores(datamap.ids[:10], {"vog": np.ones(10)}, allow_missing=True)
    assert np.isnan(joined.values("vog")).sum() == 20
    with pytest.raises(TrainmapError, match="20 of the 30 examples of this map have no value; pass allow_missing"):
        datamap.with_scores(datamap.ids[:10], {"vog": np.ones(10)})


@pytest.mark.parametrize(
    ("ids", "scores", "message"),
    [
        ([*range(29), 99], {"vog": np.ones(30)}, r"1 ids are not in this map \(first: 99\)"),
        ([*range(29), 3], {"vog": np.ones(30)}, "ids must not repeat"),
        (range(30), {"aum": np.ones(30)}, "this map has a column 'aum' already"),
        (range(30), {"region": np.ones(30)}, "this map has a column 'region' already"),
        (range(30), {"vog": np.ones(29)}, r"vog must be one number for each of the 30 ids, got \(29,\)"),
        ([str(i) for i in range(30)], {"vog": np.ones(30)}, "ids must be of the kind of this map's, int64"),
    ],
)
def test_scores_that_do_not_fit_the_map_are_refused(datamap: DataMap, ids: Any, scores: Any, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        datamap.with_scores(list(ids), scores)


# --- files that are not a map ---------------------------------------------------------------------------------------


def test_a_map_is_saved_as_parquet_alone(datamap: DataMap, tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match=r"its name must end in \.parquet, got map\.csv"):
        datamap.save(tmp_path / "map.csv")


def test_a_save_that_fails_leaves_the_old_map(
    datamap: DataMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = datamap.save(tmp_path / "map.parquet")
    before = path.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(StoreError, match=r"map\.parquet cannot be written: No space left on device$"):
        replace(datamap, rule="corner").save(path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir() if item.suffix == ".tmp"] == []


def rewritten(
    path: Path, change: Callable[[dict[str, Any]], Any] | None = None, table: pl.DataFrame | None = None
) -> Path:
    """The file with other metadata or another table."""
    old = pq.read_table(path)
    about = json.loads(old.schema.metadata[b"trainmap"])
    if change is not None:
        about = change(about)
    new = old if table is None else table.to_arrow()
    text = about if isinstance(about, str) else json.dumps(about)
    pq.write_table(new.replace_schema_metadata({b"trainmap": text}), path)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about | {"version": 3}, "has map version 3, this trainmap reads up to 2: upgrade"),
        (lambda about: {k: v for k, v in about.items() if k != "rule"}, "says that it is a map, but not of what"),
        (lambda about: "not json", r"is not a map \(Expecting value.*make it again"),
        (lambda about: [1], "says that it is a map, but not of what"),
        (lambda about: about | {"version": "2"}, 'version.* cannot be "2"'),
        (lambda about: about | {"fraction": "x"}, 'fraction.* cannot be "x"'),
        (lambda about: about | {"epochs": True}, "'epochs' cannot be true"),
        (lambda about: about | {"rule": "radial"}, "was changed: unknown rule 'radial'"),
        (lambda about: about | {"dataset": "0" * 64}, "its ids or labels are not those that the map was made for"),
    ],
)
def test_a_map_with_other_metadata_is_refused(datamap: DataMap, tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        DataMap.open(rewritten(datamap.save(tmp_path / "map.parquet"), change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop("label"), "must have columns id, label, .* it lacks label"),
        (lambda t: t.drop("id"), "it lacks id"),
        (lambda t: t.drop("region", "variability"), "it lacks variability, region"),
        (lambda t: pl.concat([t, t.head(1)]), "its ids must ascend without repeating"),
        (lambda t: t.head(0), "must have at least one row"),
        (lambda t: t.head(29), "its ids or labels are not those"),
        (lambda t: t.with_columns(label=pl.lit(0)), "its ids or labels are not those"),
    ],
)
def test_a_map_with_another_table_is_refused(datamap: DataMap, tmp_path: Path, change: Any, message: str) -> None:
    path = datamap.save(tmp_path / "map.parquet")
    with pytest.raises(StoreError, match=message):
        DataMap.open(rewritten(path, table=change(datamap.table)))


def test_what_is_no_map_is_refused(tmp_path: Path, datamap: DataMap) -> None:
    with pytest.raises(StoreError, match="there is no map at"):
        DataMap.open(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("id,label\n")
    with pytest.raises(StoreError, match="is not a map"):
        DataMap.open(tmp_path / "text.parquet")
    datamap.table.write_parquet(tmp_path / "table.parquet")
    with pytest.raises(StoreError, match="is a table, but not a map"):
        DataMap.open(tmp_path / "table.parquet")
    torn = datamap.save(tmp_path / "torn.parquet")
    torn.write_bytes(torn.read_bytes()[:-100])
    with pytest.raises(StoreError, match="is not a map"):
        DataMap.open(torn)


def test_ids_that_do_not_ascend_make_no_map(datamap: DataMap) -> None:
    with pytest.raises(TrainmapError, match="its ids must ascend"):
        replace(datamap, table=datamap.table.reverse())


def test_a_map_is_one_thing_among_others(datamap: DataMap) -> None:
    assert datamap == datamap
    assert datamap != replace(datamap)
    assert datamap in {datamap}
