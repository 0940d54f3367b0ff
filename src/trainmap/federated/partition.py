"""Who has which examples: the ways to part a dataset among clients, and clients with wrong labels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainmap.audits.planted import plan_flips
from trainmap.dynamics.arrays import to_ids
from trainmap.errors import TrainmapError, counted, number, shown, some, whole

Array = NDArray[Any]
By = Literal["iid", "dirichlet", "group", "quantity"]


@dataclass(frozen=True)
class Partition:
    """How examples are parted among clients.

    Attributes:
        by: ``iid``: at random, parts of one size (or one more). ``dirichlet``: of each class the clients get shares
            drawn from a Dirichlet distribution, so that their classes differ and their sizes too (Yurochkin et al.
            2019, arXiv:1905.12022). ``group``: all examples of one group (a speaker, a writer, a country) are with one
            client; see ``partition``. ``quantity``: at random, the sizes are drawn from a Dirichlet distribution (Li et
            al. 2022, arXiv:2102.02079, section 4.3).
        alpha: of the Dirichlet distributions, all its parameters: 100 is nearly even, at 0.1 most of a class (or of
            everything) is with one client. Not read by the others.
        column: that says the group, for ``group`` alone.
        least: examples that every client must have.

    Raises:
        TrainmapError: values out of range, or that do not go together.
    """

    by: By = "iid"
    alpha: float = 0.5
    column: str = ""
    least: int = 1

    def __post_init__(self) -> None:
        if self.by not in get_args(By):
            raise TrainmapError(f"a partition is by {', '.join(get_args(By))}, got {shown(self.by)}")
        if not number(self.alpha, "alpha") > 0:
            raise TrainmapError(f"alpha must be above 0, got {self.alpha}")
        whole(self.least, "least", 1)
        if self.by == "group" and not self.column:
            raise TrainmapError("a partition by group must say by which column, such as 'speaker'")
        if self.by != "group" and self.column:
            raise TrainmapError(f"a partition by {self.by} reads no column, got '{self.column}'; leave it out")

    def __str__(self) -> str:
        match self.by:
            case "group":
                return f"by {self.column}"
            case "iid":
                return "at random"
            case "dirichlet":
                return f"labels Dirichlet {self.alpha:g}"
        return f"sizes Dirichlet {self.alpha:g}"


def partition(
    ids: ArrayLike, labels: ArrayLike, clients: int, how: Partition, seed: int, groups: ArrayLike | None = None
) -> list[Array]:
    """The ids of each client, ascending: no id is with two, together they are all. Drawn by flwr-datasets.

    The answer depends on what is told of each id and on the seed, not on the order of the rows. By group: with as many
    clients as groups, client k has the k-th group in their order; with fewer, the groups are drawn at random into
    clients that have the same number of them (or one more). A group is never divided, so that more clients than groups
    are refused.

    Args:
        ids: (N,) int or str, distinct.
        labels: (N,) class indices.
        clients: K.
        how: the way.
        seed: of all that is drawn.
        groups: (N,) what is in ``how.column``, by group alone.

    Raises:
        TrainmapError: more clients than examples (or than groups), a client with less than ``how.least``, arrays that
            do not fit together, an example without a group.

    Source: McMahan et al. 2017, arXiv:1602.05629, for iid and the natural partition by user.
    """
    names, gold = to_ids(ids), np.asarray(labels)
    whole(clients, "clients", 1)
    if gold.shape != names.shape or gold.dtype.kind not in "iu":
        raise TrainmapError(
            f"labels must be one class index for each of {len(names)} ids, got {gold.dtype} {gold.shape}"
        )
    if len(names) < clients * how.least:
        raise TrainmapError(
            f"{counted(clients, 'client')} with at least {counted(how.least, 'example')} each need "
            f"{clients * how.least:,}, there are {len(names):,}; ask for fewer clients"
        )
    order = np.argsort(names, kind="stable")
    names = names[order]
    if (again := names[1:][names[1:] == names[:-1]]).size:
        raise TrainmapError(f"ids must be distinct; {again.size} came more than once (first: {some(again.tolist())})")
    mixed = np.random.default_rng([whole(seed, "seed"), 0xDA7A]).permutation(len(names))
    column = _dealt(groups, order, clients, how, seed)[mixed] if how.by == "group" else np.zeros(len(names), np.int64)
    places = _drawn(gold[order][mixed].astype(np.int64), column, clients, how, seed)
    parts = [np.sort(names[mixed[place]]) for place in places]
    if short := [at for at, part in enumerate(parts) if len(part) < how.least]:
        raise TrainmapError(
            f"every client must have at least {counted(how.least, 'example')}, client {short[0]} has "
            f"{len(parts[short[0]])}; ask for fewer clients or a lower least"
        )
    return parts


def _dealt(groups: ArrayLike | None, order: Array, clients: int, how: Partition, seed: int) -> Array:
    """(N,) the client of each example in the order of the ids, by its group."""
    if groups is None:
        raise TrainmapError(f"a partition by {how.column} must be given it for every example: groups=")
    values = np.asarray(groups)
    if values.shape != order.shape:
        raise TrainmapError(f"{how.column} must be one value for each of {len(order)} ids, got shape {values.shape}")
    listed = values[order].tolist()
    if lacking := sum(value is None or value == "" or value != value for value in listed):
        raise TrainmapError(f"{counted(lacking, 'example')} of {len(listed):,} have nothing in {how.column}")
    if len({isinstance(value, str) for value in listed}) > 1:
        raise TrainmapError(f"{how.column} must be all words or all numbers, it has both")
    known, group = np.unique(np.array(listed), return_inverse=True)
    if clients > len(known):
        raise TrainmapError(
            f"{how.column} has {counted(len(known), 'group')} ({some(known.tolist())}), too few for "
            f"{counted(clients, 'client')}: a group is not divided; ask for at most {len(known)}"
        )
    places = np.arange(len(known))
    if clients < len(known):
        places = np.random.default_rng([seed, 0x6209]).permutation(len(known))
    client = np.empty(len(known), np.int64)
    for number_, part in enumerate(np.array_split(places, clients)):
        client[part] = number_
    return client[group]


def _drawn(labels: Array, column: Array, clients: int, how: Partition, seed: int) -> list[Array]:
    """The places of each client, as flwr-datasets parts them.

    Its Dirichlet partitioner draws anew, with a warning each time, up to eleven times until all have enough.
    """
    from datasets import Dataset
    from flwr_datasets.partitioner import DirichletPartitioner, GroupedNaturalIdPartitioner, IidPartitioner

    match how.by:
        case "iid":
            made: Any = IidPartitioner(clients)
        case "group":
            made = GroupedNaturalIdPartitioner("client", group_size=1, sort_unique_ids=True)
        case "dirichlet" | "quantity":
            by = "label" if how.by == "dirichlet" else "client"  # one value: the sizes are one draw
            made = DirichletPartitioner(clients, by, float(how.alpha), how.least, shuffle=False, seed=seed)
    made.dataset = Dataset.from_dict({"place": np.arange(len(labels)), "label": labels, "client": column})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The specified min_partition_size", UserWarning)
        try:
            parts = [made.load_partition(at) for at in range(clients)]
        except ValueError as error:
            raise TrainmapError(
                f"no draw of {how} gave each of {counted(clients, 'client')} at least "
                f"{counted(how.least, 'example')} of {len(labels):,}; take a higher alpha, fewer clients or a lower "
                "least"
            ) from error
    return [np.array(part["place"], dtype=np.int64) for part in parts]


@dataclass(frozen=True)
class Noise:
    """Clients whose labels are partly wrong.

    Attributes:
        clients: share of the clients that are noisy, above 0 to 1: round(share x K), at least one.
        share: of their labels, above 0 to 0.5, that are exchanged for another class, drawn evenly.

    Raises:
        TrainmapError: values out of range.
    """

    clients: float
    share: float

    def __post_init__(self) -> None:
        for name, most in (("clients", 1.0), ("share", 0.5)):
            if not 0 < number(getattr(self, name), f"{name} of the noise") <= most:
                raise TrainmapError(f"{name} of the noise must be above 0 and at most {most:g}, got {self}")

    def __str__(self) -> str:
        return f"{100 * self.share:g} % wrong labels at {100 * self.clients:g} % of the clients"


def noisy(
    ids: Sequence[ArrayLike], labels: Sequence[ArrayLike], classes: int, how: Noise, seed: int
) -> tuple[Array, list[Array]]:
    """Which clients are noisy, and the labels of all after it.

    Args:
        ids: of each client, (n,) as ``partition`` gives them.
        labels: of each client, (n,) class indices in the order of its ids.
        classes: C.
        how: how many, how much.
        seed: of who is noisy, and of the labels.

    Returns:
        the numbers of the noisy clients, ascending, and (n,) int64 for each client; those of the others are as they
        came.

    Raises:
        TrainmapError: no clients, arrays that do not fit, fewer than two classes.
    """
    if not len(ids) or len(ids) != len(labels):
        raise TrainmapError(f"noisy clients need ids and labels of each client, got {len(ids)} and {len(labels)}")
    count = max(1, int(how.clients * len(ids) + 0.5))
    order = np.random.default_rng([whole(seed, "seed"), 0x9015E]).permutation(len(ids))
    chosen, made = np.sort(order[:count]), [np.asarray(one) for one in labels]
    for client in chosen.tolist():
        own = int(np.random.SeedSequence([seed, client]).generate_state(1)[0])
        flips = plan_flips(made[client], how.share, own, ids=ids[client], classes=classes)
        made[client] = flips.apply(ids[client], made[client])
    return chosen, made
