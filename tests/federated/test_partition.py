"""Who has which examples: every way parts all of them, by its rule, whatever the order of the rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainmap.errors import TrainmapError
from trainmap.federated import Noise, Partition, noisy
from trainmap.federated.partition import partition

WAYS = (
    Partition("iid"),
    Partition("dirichlet", alpha=0.3),
    Partition("dirichlet", alpha=100.0, least=5),
    Partition("group", column="speaker"),
    Partition("quantity", alpha=0.5),
)
N, K = 300, 6


def examples(seed: int = 0) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(seed)
    ids = np.sort(random.choice(10_000, N, replace=False))
    return ids, random.integers(0, 5, N), np.array(["ann", "bob", "cy", "dee", "eve", "flo", "gus"])[ids % 7]


@pytest.mark.parametrize("how", WAYS, ids=str)
def test_every_way_parts_all_examples_whatever_their_order(how: Partition) -> None:
    ids, labels, groups = examples()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = partition(ids, labels, K, how, seed=3, groups=groups)
    assert len(parts) == K
    assert all((np.diff(part) > 0).all() and len(part) >= how.least for part in parts)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), ids)
    order = np.random.default_rng(1).permutation(N)
    again = partition(ids[order], labels[order], K, how, seed=3, groups=groups[order])
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))
    other = partition(ids, labels, K, how, seed=4, groups=groups)
    assert not all(np.array_equal(a, b) for a, b in zip(parts, other, strict=True))


@pytest.mark.parametrize("how", WAYS, ids=str)
def test_one_client_has_everything_and_ids_may_be_words(how: Partition) -> None:
    ids, labels, groups = examples()
    words = np.array([f"x{one}" for one in ids])
    (part,) = partition(words, labels, 1, how, seed=0, groups=groups)
    np.testing.assert_array_equal(part, np.sort(words))


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 40),
    clients=st.integers(1, 12),
    how=st.sampled_from(WAYS),
    classes=st.integers(1, 4),
    seed=st.integers(0, 2**40),
)
def test_small_data_is_parted_whole_or_refused(
    size: int, clients: int, how: Partition, classes: int, seed: int
) -> None:
    ids = 10 * np.arange(size)[::-1] - 100
    try:
        parts = partition(ids, np.arange(size) % classes, clients, how, seed, groups=np.arange(size) % 5)
    except TrainmapError:
        assert how.by != "iid" or size < clients
        return
    assert len(parts) == clients
    assert min(map(len, parts)) >= how.least
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.sort(ids))


def test_iid_parts_are_of_one_size() -> None:
    ids, labels, _ = examples()
    assert {len(part) for part in partition(ids, labels, 7, Partition("iid"), seed=0)} == {42, 43}
    assert sorted(part.tolist() for part in partition([5, 3, 9], [0, 0, 1], 3, Partition("iid"), 0)) == [[3], [5], [9]]


def spread(how: Partition, labels: Any, seeds: int = 20) -> float:
    """How far the classes of a client are from those of all: mean total variation."""
    parts = [part for seed in range(seeds) for part in partition(np.arange(len(labels)), labels, 5, how, seed)]
    return float(np.mean([np.abs(np.bincount(labels[one], minlength=5) / len(one) - 0.2).sum() / 2 for one in parts]))


def test_a_lower_alpha_gives_clients_fewer_classes() -> None:
    labels = np.repeat(np.arange(5), 200)
    even = spread(Partition("dirichlet", alpha=1000.0), labels)
    some, few = (spread(Partition("dirichlet", alpha=alpha), labels) for alpha in (1.0, 0.1))
    assert even < 0.05 < some < few
    assert spread(Partition("quantity", alpha=1.0, least=20), labels) < 0.15


def test_sizes_by_quantity_are_one_draw_of_the_dirichlet_distribution() -> None:
    ids, labels = np.arange(1000), np.zeros(1000, np.int64)
    sizes = [len(part) for part in partition(ids, labels, 4, Partition("quantity", alpha=2.0), seed=7)]
    shares = np.random.default_rng(7).dirichlet([2.0] * 4)
    np.testing.assert_array_equal(sizes, np.diff([0, *(np.cumsum(shares) * 1000).astype(int)[:-1], 1000]))


def test_a_group_is_with_one_client() -> None:
    ids, labels, groups = examples()
    how = Partition("group", column="speaker")
    of = dict(zip(ids.tolist(), groups.tolist(), strict=True))
    names = [sorted({of[one] for one in part.tolist()}) for part in partition(ids, labels, 7, how, 0, groups)]
    assert names == [["ann"], ["bob"], ["cy"], ["dee"], ["eve"], ["flo"], ["gus"]]
    names = [{of[one] for one in part.tolist()} for part in partition(ids, labels, 3, how, 0, groups)]
    assert sorted(map(len, names)) == [2, 2, 3]
    assert len(set.union(*names)) == 7
    numbers = partition(ids, labels, 2, how, 0, groups=[10 if one % 2 else 9 for one in ids])
    assert (numbers[0] % 2 == 0).all()  # 9 before 10: as numbers


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"by": "speaker"}, "a partition is by iid, dirichlet, group, quantity, got 'speaker'"),
        ({"by": "dirichlet", "alpha": 0.0}, "alpha must be above 0"),
        ({"by": "dirichlet", "alpha": float("nan")}, "alpha must be a finite number"),
        ({"by": "group"}, "must say by which column"),
        ({"by": "iid", "column": "speaker"}, "by iid reads no column"),
        ({"least": 0}, "least must be a whole number of at least 1"),
    ],
)
def test_a_partition_that_cannot_be_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(TrainmapError, match=why):
        Partition(**given)


BY_SPEAKER = Partition("group", column="speaker")


@pytest.mark.parametrize(
    ("clients", "how", "groups", "why"),
    [
        (11, Partition(), None, "11 clients with at least 1 example each need 11, there are 10; ask for fewer"),
        (4, Partition(least=3), None, "4 clients with at least 3 examples each need 12, there are 10"),
        (0, Partition(), None, "clients must be a whole number of at least 1"),
        (3, Partition("dirichlet", 0.01, least=3), None, "no draw of labels Dirichlet 0.01 gave each of 3 clients"),
        (3, BY_SPEAKER, None, "must be given it for every example"),
        (3, BY_SPEAKER, ["a", "b"] * 5, r"speaker has 2 groups \('a', 'b'\), too few for 3 clients"),
        (2, BY_SPEAKER, ["a", "b"], "one value for each of 10 ids, got shape"),
        (2, BY_SPEAKER, ["a", None] * 5, "5 examples of 10 have nothing in speaker"),
        (2, BY_SPEAKER, [1.0, float("nan")] * 5, "5 examples of 10 have nothing in speaker"),
        (2, Partition("group", column="speaker", least=2), ["a", *["b"] * 9], "at least 2 examples, client 0 has 1"),
    ],
)
def test_clients_that_cannot_all_have_their_part_are_refused(
    clients: int, how: Partition, groups: Any, why: str
) -> None:
    with pytest.raises(TrainmapError, match=why):
        partition(np.arange(10), np.arange(10) % 2, clients, how, 0, None if groups is None else groups)


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TrainmapError, match="labels must be one class index for each of 3 ids"):
        partition([1, 2, 3], [0, 1], 2, Partition(), 0)
    with pytest.raises(TrainmapError, match="ids must be distinct; 1 came more than once"):
        partition([1, 2, 2], [0, 1, 1], 2, Partition(), 0)


def test_noise_exchanges_labels_of_a_share_of_the_clients_alone() -> None:
    ids, labels, _ = examples()
    parts = partition(ids, labels, 10, Partition(), 0)
    own = [labels[np.searchsorted(ids, part)] for part in parts]
    who, made = noisy(parts, own, 5, Noise(0.3, 0.4), seed=1)
    assert len(who) == 3
    assert (np.diff(who) > 0).all()
    wrong = [float((a != b).mean()) for a, b in zip(own, made, strict=True)]
    assert [one for one in range(10) if wrong[one]] == who.tolist()
    assert {wrong[one] for one in who} == {0.4}
    again, others = noisy(parts, own, 5, Noise(0.3, 0.4), seed=1), noisy(parts, own, 5, Noise(0.3, 0.4), seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(made, again[1], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(made, others[1], strict=True))
    back = noisy([part[::-1] for part in parts], [one[::-1] for one in own], 5, Noise(0.3, 0.4), seed=1)[1]
    assert all(np.array_equal(a, b[::-1]) for a, b in zip(made, back, strict=True))


def test_noise_reaches_one_client_at_least_and_one_with_a_single_class() -> None:
    who, (made, other) = noisy([[1, 2], [3, 4]], [[0, 0], [0, 0]], 3, Noise(0.01, 0.5), seed=0)
    assert len(who) == 1
    assert sorted([int((made != 0).sum()), int((other != 0).sum())]) == [0, 1]


@pytest.mark.parametrize("given", [(0.0, 0.4), (1.1, 0.4), (0.3, 0.0), (0.3, 0.6), (float("nan"), 0.4)])
def test_noise_out_of_range_is_refused(given: tuple[float, float]) -> None:
    with pytest.raises(TrainmapError, match="of the noise must be"):
        Noise(*given)


def test_noise_needs_clients() -> None:
    with pytest.raises(TrainmapError, match="need ids and labels of each client, got 0 and 0"):
        noisy([], [], 3, Noise(0.5, 0.5), seed=0)
