"""What holds for every score of the table, and the table itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainmap.dynamics.signals import Block
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.maps.datamap import DataMap
from trainmap.scores import compute as computing
from trainmap.scores.compute import available, compute
from trainmap.scores.table import SCORES, Score, hard_first, score

Array = NDArray[Any]

# The ends of every score's range, for E epochs and C classes; a score that is not here fails the tests below.
INFINITE = {"forgetting", "first_learned", "learning_time"}
RANGES: dict[str, Callable[[int, int], tuple[float, float]]] = {
    "confidence": lambda e, c: (0, 1),
    "variability": lambda e, c: (0, 0.5),
    "correctness": lambda e, c: (0, e),
    "forgetting": lambda e, c: (0, e // 2),
    "slope": lambda e, c: (-1, 1),
    "threshold_closeness": lambda e, c: (0, 0.25),
    "aum": lambda e, c: (-math.inf, math.inf),
    "el2n": lambda e, c: (0, math.sqrt(2) + 1e-6),
    "entropy": lambda e, c: (0, math.log(c) + 1e-6),
    "loss": lambda e, c: (0, math.inf),
    "aleatoric": lambda e, c: (0, 0.25),
    "first_learned": lambda e, c: (0, e - 1),
    "learning_time": lambda e, c: (0, e - 1),
    "dyn_unc": lambda e, c: (0, 0.5271),
    "dual": lambda e, c: (0, 0.3382),
    "tdds": lambda e, c: (0, math.inf),
}

every_score = pytest.mark.parametrize("name", SCORES)
each_size = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "epochs": st.integers(1, 14) | st.integers(29, 33),
        "n": st.integers(1, 9),
        "classes": st.integers(2, 5),
        "missing": st.sampled_from([0.0, 0.0, 0.03, 0.5]),
    }
)
often = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rows(block: Block, index: Any) -> Block:
    """Some examples of a block, as ``Dynamics.block`` would give them."""
    signals = {name: np.ascontiguousarray(column[:, index]) for name, column in block.signals.items()}
    logits = None if block.logits is None else np.ascontiguousarray(block.logits[:, index])
    return Block(block.labels[index], block.classes, signals, block.complete, logits)


def enough(name: str, block: Block) -> bool:
    return block.epochs >= SCORES[name].epochs


def same(one: Iterable[float], other: Iterable[float]) -> bool:
    """Bit for bit, NaN included."""
    return np.asarray(one).tobytes() == np.asarray(other).tobytes()


@every_score
@often
@given(size=each_size)
def test_a_score_is_one_float64_for_each_example(name: str, random_block: Any, size: dict[str, Any]) -> None:
    block = random_block(**size)
    if enough(name, block):
        values = SCORES[name](block)
        assert (values.dtype, values.shape) == (np.float64, (size["n"],))


@every_score
@often
@given(size=each_size)
def test_a_score_stays_in_its_range(name: str, random_block: Any, size: dict[str, Any]) -> None:
    block = random_block(**size)
    if enough(name, block):
        values = SCORES[name](block)
        low, high = RANGES[name](size["epochs"], size["classes"])
        kept = values[~np.isnan(values)]
        if name in INFINITE:
            kept = kept[kept != np.inf]
        assert ((kept >= low) & (kept <= high) & np.isfinite(kept)).all()


@every_score
@often
@given(size=each_size)
def test_the_order_of_the_rows_only_moves_the_values(name: str, random_block: Any, size: dict[str, Any]) -> None:
    block = random_block(**size)
    if enough(name, block):
        order = np.random.default_rng(size["seed"]).permutation(size["n"])
        assert same(SCORES[name](rows(block, order)), SCORES[name](block)[order])


@every_score
@often
@given(size=each_size, step=st.integers(1, 5))
def test_the_size_of_the_block_changes_no_bit(name: str, random_block: Any, size: dict[str, Any], step: int) -> None:
    block = random_block(**size)
    if enough(name, block):
        parts = [SCORES[name](rows(block, slice(i, i + step))) for i in range(0, size["n"], step)]
        assert same(np.concatenate(parts), SCORES[name](block))


@every_score
def test_blocks_of_a_thousand_rows_give_the_bits_of_single_rows(name: str, random_block: Any) -> None:
    block = random_block(seed=5, epochs=31, n=1000, classes=10)
    single = [SCORES[name](rows(block, slice(i, i + 1))) for i in range(1000)]
    assert same(np.concatenate(single), SCORES[name](block))


@every_score
def test_copies_of_an_example_have_one_value(name: str, random_block: Any) -> None:
    block = random_block(seed=1, epochs=12, n=4, classes=3, missing=0.02)
    values = SCORES[name](rows(block, np.array([0, 1, 2, 3, 2, 1, 0, 2])))
    assert same(values[[4, 5, 6, 7]], values[[2, 1, 0, 2]])


@every_score
def test_the_arguments_are_left_as_they_were(name: str, random_block: Any) -> None:
    block = random_block(seed=2, epochs=12, n=5, classes=3, missing=0.1)
    before = {n: column.copy() for n, column in block.signals.items()}
    logits = block.logits.copy()
    SCORES[name](block)
    assert all(np.array_equal(before[n], block.signals[n], equal_nan=True) for n in before)
    assert np.array_equal(logits, block.logits, equal_nan=True)


@every_score
def test_an_example_that_was_never_seen_has_no_value(name: str, random_block: Any) -> None:
    block = random_block(seed=3, epochs=12, n=3, classes=3)
    logits = block.logits.copy()
    logits[:, 1] = np.nan
    values = SCORES[name](Block.from_logits(logits, block.labels))
    assert np.isnan(values[1])
    assert not np.isnan(values[[0, 2]]).any()


@every_score
def test_an_example_that_was_never_right_has_a_value(name: str) -> None:
    logits = np.zeros((12, 1, 3), np.float32)
    logits[:, 0, 0] = np.linspace(-1, -5, 12)
    assert not np.isnan(SCORES[name](Block.from_logits(logits, np.zeros(1, int)))).any()


@every_score
def test_a_recording_of_one_epoch_has_a_value_or_says_what_it_needs(name: str, random_block: Any) -> None:
    block = random_block(seed=4, epochs=1, n=3, classes=3)
    if SCORES[name].epochs == 1:
        assert not np.isnan(SCORES[name](block)).any()
    elif name == "slope":
        assert np.isnan(SCORES[name](block)).all()
    else:
        with pytest.raises(TrainmapError, match=f"{name} needs at least 10 epochs, got 1"):
            SCORES[name](block)


@every_score
def test_the_direction_is_that_of_a_hard_example_beside_an_easy_one(name: str) -> None:
    hard = [-0.5, 3, -1, 2, -1.5, 1, -2, 0.5, -2.5, 0.3, -3, -4]
    easy = np.linspace(6, 6.5, 12)
    logits = np.zeros((12, 2, 3), np.float32)
    logits[:, 0, 0], logits[:, 1, 0] = hard, easy
    values = SCORES[name](Block.from_logits(logits, np.zeros(2, int)))
    assert values[0] != values[1]
    assert (values[0] > values[1]) == (SCORES[name].direction == "high")
    assert hard_first(name, values, np.array([7, 3])).tolist() == [7, 3]


def test_every_entry_says_what_one_must_know() -> None:
    assert set(RANGES) == set(SCORES)
    for name, entry in SCORES.items():
        doc = entry.function.__doc__ or ""
        assert entry.name == name == entry.function.__name__
        assert all(word in doc for word in ("Returns:", "float64")), name
        assert "Source:" in doc or name == "loss"
        end = "High is" if entry.direction == "high" else "Low"
        assert end in doc, f"{name}'s docstring must say which end is hard"


# --- conventions ----------------------------------------------------------------------------------------------------


def test_forgetting_has_the_published_values_for_never_learned() -> None:
    assert SCORES["forgetting"].conventions == {
        "data_diet": {"never_learned": math.inf},
        "toneva": {"never_learned": "epochs"},
        "allenai": {"never_learned": 1000},
        "deepcore": {"never_learned": 0},
        "ccs": {"never_learned": 0},
    }
    logits = np.zeros((4, 1, 2), np.float32)
    logits[:, 0, 1] = 1
    block = Block.from_logits(logits, np.zeros(1, int))
    expected = {"data_diet": np.inf, "toneva": 4, "allenai": 1000, "deepcore": 0, "ccs": 0}
    assert {c: score("forgetting", c)(block)[0] for c in SCORES["forgetting"].conventions} == expected


@pytest.mark.parametrize(("name", "convention"), [(s.name, c) for s in SCORES.values() for c in s.conventions])
def test_a_convention_is_the_function_with_its_keywords(name: str, convention: str, random_block: Any) -> None:
    block = random_block(seed=6, epochs=32, n=4, classes=3)
    under = score(name, convention)
    keywords = SCORES[name].conventions[convention]
    assert same(under(block), SCORES[name].function(block, **keywords))
    assert under.name == f"{name}_{convention}"
    assert score(f"{name}_{convention}").name == under.name
    assert under.direction == SCORES[name].direction


@pytest.mark.parametrize(("name", "convention"), [(s.name, c) for s in SCORES.values() for c in s.conventions])
def test_a_convention_reads_no_signal_that_it_does_not_name(name: str, convention: str, random_block: Any) -> None:
    block = random_block(seed=6, epochs=32, n=4, classes=3)
    under = score(name, convention)
    named = {n: column for n, column in block.signals.items() if n in under.needs}
    narrow = Block(block.labels, 3, named, block.complete, block.logits if "logits" in under.needs else None)
    assert same(under(narrow), under(block))


@pytest.mark.parametrize(
    ("name", "convention", "message"),
    [
        ("variabilty", None, "unknown score 'variabilty'; did you mean 'variability'"),
        ("variabilty", "ftft", "unknown score 'variabilty'"),
        ("forgetting", "alenai", "unknown convention of forgetting 'alenai'; did you mean 'allenai'"),
        ("forgetting_alenai", None, "unknown convention of forgetting 'alenai'"),
        ("confidence", "allenai", "confidence has one convention only, got 'allenai'"),
        ("confidence_allenai", None, "unknown score 'confidence_allenai'; did you mean 'confidence'"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, convention: str | None, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        score(name, convention)


# --- over a recording -----------------------------------------------------------------------------------------------


def make(seed: int, epochs: int, n: int, classes: int, missing: float = 0.0) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 3, (epochs, n, classes)).astype(np.float16).astype(np.float32)
    logits[generator.random((epochs, n)) < missing] = np.nan
    return logits, generator.integers(0, classes, n)


@pytest.mark.parametrize("missing", [0.0, 0.02])
def test_scores_of_a_recording_are_those_of_a_block_in_memory(
    record: Callable[..., Dynamics], monkeypatch: pytest.MonkeyPatch, missing: float
) -> None:
    logits, labels = make(0, 12, 700, 4, missing)
    dynamics = record(logits, labels, level="logits", order=np.random.default_rng(1).permutation(700))
    monkeypatch.setattr(computing, "BLOCK_BYTES", 1)  # the smallest row blocks: three of them
    block = Block.from_logits(logits, labels)
    values = compute(dynamics)
    assert set(values) == set(SCORES) == set(available(dynamics))
    for name, column in values.items():
        assert same(column, SCORES[name](block)), name


def test_only_the_signals_that_a_score_needs_are_read(record: Callable[..., Dynamics]) -> None:
    logits, labels = make(0, 12, 20, 3)
    dynamics = record(logits, labels, level="logits")
    held: list[set[str]] = []

    def spy(block: Block) -> Array:
        held.append(set(block.signals) | ({"logits"} if block.logits is not None else set()))
        return np.zeros(len(block))

    for name in ("confidence", "tdds", "aum"):
        replaced = Score(name, spy, "high", SCORES[name].needs, "", "")
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(SCORES, name, replaced)
            compute(dynamics, [name])
    assert held == [{"p_gold"}, {"logits"}, {"margin"}]


def test_the_logits_give_temporal_dual_depth_at_level_logits_only(record: Callable[..., Dynamics]) -> None:
    logits, labels = make(0, 12, 20, 3)
    dynamics = record(logits, labels)
    assert "tdds" not in available(dynamics)
    with pytest.raises(TrainmapError, match="tdds needs logits; a recording at level 'signals' has none"):
        compute(dynamics, ["tdds"])


def test_a_score_that_needs_more_epochs_is_left_out_and_says_so_by_name(record: Callable[..., Dynamics]) -> None:
    logits, labels = make(0, 9, 20, 3)
    dynamics = record(logits, labels, level="logits")
    assert not {"dyn_unc", "dual", "tdds"} & set(available(dynamics))
    for name in ("dyn_unc", "dual", "tdds"):
        with pytest.raises(TrainmapError, match=f"{name} needs at least 10 epochs, got 9"):
            compute(dynamics, [name])


def test_a_convention_is_a_column_by_its_name(record: Callable[..., Dynamics]) -> None:
    logits, labels = make(0, 12, 20, 3)
    dynamics = record(logits, labels)
    values = compute(dynamics, ["forgetting", "forgetting_allenai", "aum_ccs", "el2n_ccs"])
    block = Block.from_logits(logits, labels)
    assert list(values) == ["forgetting", "forgetting_allenai", "aum_ccs", "el2n_ccs"]
    for name, column in values.items():
        assert same(column, score(name)(block))


def test_a_window_of_one_epochs_convention_that_was_not_recorded_is_an_error(record: Callable[..., Dynamics]) -> None:
    logits, labels = make(0, 12, 20, 3)
    with pytest.raises(TrainmapError, match="el2n_data_diet needs at least 20 epochs, got 12"):
        compute(record(logits, labels), ["el2n_data_diet"])


# --- hard_first -----------------------------------------------------------------------------------------------------


def test_hard_first_puts_the_hard_end_first_whichever_it_is() -> None:
    ids = np.array([10, 20, 30])
    values = np.array([0.1, 0.9, 0.5])
    assert hard_first("confidence", values, ids).tolist() == [10, 30, 20]
    assert hard_first("variability", values, ids).tolist() == [20, 30, 10]
    assert hard_first(SCORES["aum"], values, ids).tolist() == [10, 30, 20]
    assert hard_first("forgetting_allenai", values, ids).tolist() == [20, 30, 10]


def test_in_hard_first_ties_go_by_the_hash_of_the_id_whatever_the_order() -> None:
    ids = np.array(["c", "a", "d", "b"])
    values = np.array([1.0, 1.0, 2.0, 1.0])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        assert hard_first("loss", values[order], ids[order]).tolist() == ["d", "b", "a", "c"]


def test_in_hard_first_infinity_is_an_end_and_nan_comes_last() -> None:
    ids = np.arange(4)
    values = np.array([np.nan, 2.0, np.inf, 0.0])
    assert hard_first("forgetting", values, ids).tolist() == [2, 1, 3, 0]
    assert hard_first("confidence", values, ids).tolist() == [3, 1, 2, 0]


def test_hard_first_wants_one_value_for_each_id() -> None:
    with pytest.raises(TrainmapError, match="one-dimensional and alike"):
        hard_first("loss", np.zeros(3), np.arange(4))
    with pytest.raises(TrainmapError, match="unknown score"):
        hard_first("los", np.zeros(3), np.arange(3))


# --- conventions, argument by argument ------------------------------------------------------------------------------

ARGUMENTS: dict[str, dict[str, Any]] = {
    "variability_allenai": {},
    "variability_allenai_ci": {"include_ci": True},
    "variability_ftft": {"ddof": 1},
    "correctness_allenai": {},
    "correctness_paper": {"fraction": True},
    "forgetting_data_diet": {"never_learned": math.inf},
    "forgetting_toneva": {"never_learned": "epochs"},
    "forgetting_allenai": {"never_learned": 1000},
    "forgetting_deepcore": {"never_learned": 0},
    "forgetting_ccs": {"never_learned": 0},
    "aum_pleiss": {},
    "aum_ccs": {"probability": True, "total": True},
    "aum_datacull": {"probability": True},
    "el2n_ccs": {"total": True},
    "el2n_data_diet": {"window": (19, 20)},  # the twentieth epoch
    "el2n_cho": {"window": (20, 21)},  # epoch 20 counted from 0
    "entropy_ccs": {"last": True},
    "loss_ccs": {"last": True},
    "learning_time_maini": {"never_learned": "epochs"},
    "dyn_unc_baai": {"last_window": False, "scale": 10.0},
    "dyn_unc_cho": {"scale": 10.0},
    "dual_cho": {"scale": 10.0},
    "tdds_zhang": {},
}
LEAST = {"slope": 2, "el2n_data_diet": 20, "el2n_cho": 21, "dyn_unc": 10, "dyn_unc_baai": 11}
LEAST |= {"dyn_unc_cho": 10, "dual": 10, "dual_cho": 10, "tdds": 10, "tdds_zhang": 10}


def test_each_convention_has_the_arguments_of_its_published_code() -> None:
    found = {f"{base.name}_{name}": dict(given) for base in SCORES.values() for name, given in base.conventions.items()}
    assert found == ARGUMENTS


@pytest.mark.parametrize("name", [*SCORES, *ARGUMENTS])
def test_every_score_and_convention_works_from_its_least_number_of_epochs_on(
    name: str, record: Callable[..., Dynamics]
) -> None:
    least = LEAST.get(name, 1)
    assert score(name).epochs == least
    logits, labels = make(0, least, 6, 3)
    dynamics = record(logits, labels, level="logits")
    assert len(compute(dynamics, [name])[name]) == 6
    if least > 1:
        with pytest.raises(TrainmapError, match=f"{name} needs at least {least} epochs, got {least - 1}"):
            compute(dynamics, [name], epochs=least - 1)


@pytest.mark.parametrize("ask", [compute, DataMap.from_dynamics])
def test_one_name_and_a_path_are_refused_with_what_to_pass(ask: Any, record: Callable[..., Dynamics]) -> None:
    dynamics = record(*make(0, 2, 6, 3))
    with pytest.raises(TrainmapError, match=r"scores must be a list of names, got 'confidence'; pass \['confidence'\]"):
        ask(dynamics, "confidence")
    with pytest.raises(TrainmapError, match=r"a recording is needed, got 'dynamics'; open it first: Dynamics\.open"):
        ask("dynamics")
