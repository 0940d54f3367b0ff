"""What one client does: record its own examples, choose among them, train. It knows nothing of messages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainmap.data.dataset import Dataset
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError, some
from trainmap.federated.federation import Federation
from trainmap.federated.global_thresholds import Thresholds
from trainmap.federated.histograms import histogram
from trainmap.federated.ledger import Ledger
from trainmap.federated.privacy import Randomness, noised, randomness, share, variance
from trainmap.files import read_json, write_json
from trainmap.maps.datamap import DataMap
from trainmap.models.budget import inference_flops
from trainmap.models.build import build
from trainmap.models.cost import forward_flops
from trainmap.models.predict import predict
from trainmap.selection.select import select
from trainmap.training.checkpoint import Progress
from trainmap.training.fit import fit
from trainmap.training.recipes import Recipe
from trainmap.training.watching import Watching

Array = NDArray[Any]
Weights = Mapping[str, Array]
"""A network's state by the names of its parts, as numpy has it."""

STAMP = "federation.json"
"""Beside a recording: a checksum of the settings of the federation that it belongs to."""
log = logging.getLogger("trainmap")


class Declined(TrainmapError):
    """What a client cannot do with what it was sent. The message is of networks and settings alone, never of an
    example: it may leave the client, as no other error's may."""


@dataclass(frozen=True)
class Told:
    """What a client tells of its work: counts and costs. Never an id, a score or anything of one example.

    Attributes:
        examples: that it has.
        kept: that it trained on.
        seen: visits of the training, all local epochs together.
        mapped: 1 where its map chose, 0 where it could not yet.
        train_flops, sweep_flops: of the training, of looking at its examples for the recording.
        seconds, cpu_seconds: of both.
    """

    examples: int
    kept: int = 0
    seen: int = 0
    mapped: int = 0
    train_flops: int = 0
    sweep_flops: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def with_sweep(self, sweep: Told) -> Told:
        """This training with the look before it."""
        seconds, cpu = self.seconds + sweep.seconds, self.cpu_seconds + sweep.cpu_seconds
        return replace(self, sweep_flops=sweep.sweep_flops, seconds=seconds, cpu_seconds=cpu)


class Client:
    """A client with its own examples and the recording of how the global network learns them.

    Args:
        number: which of the clients it is, from 0 on; its randomness follows from the federation's seed and this.
        data: its examples; at least one.
        model: the name of the network, as ``trainmap.models.build`` takes it.
        recipe: of the local training. Its epochs are not read: the learning rate falls over all rounds.
        federation: what all clients are told.
        folder: for its recording, ``folder/dynamics``, and what it told, ``folder/told.json``; what is there goes on.
        device: where to compute.
        noise: where the noise of its histograms comes from, see ``trainmap.federated.privacy.randomness``. It is the
            client's own to say; "seed" is for simulations, which repeat, and protects nothing from the server.

    Raises:
        TrainmapError: no examples.
    """

    def __init__(
        self,
        number: int,
        data: Dataset,
        model: str,
        recipe: Recipe,
        federation: Federation,
        folder: str | Path,
        device: str = "cpu",
        noise: Randomness = "system",
    ) -> None:
        if not len(data):
            raise Declined(f"client {number} has no examples; give it some, or leave it out")
        self.number, self.data, self.name, self.federation = number, data, model, federation
        self.recipe = replace(recipe, epochs=federation.rounds * federation.local_epochs)
        self.folder, self.device = Path(folder) / "dynamics", device
        self.noise: Randomness = noise
        self.ledger = Ledger(Path(folder) / "told.json", federation)
        self._mapped: tuple[int, DataMap] | None = None

    @cached_property
    def model(self) -> nn.Module:
        return build(self.name, self.data.classes, self.data.inputs, self.federation.seed, weights=False)

    @cached_property
    def forward(self) -> int:
        """FLOPs of its network for one example."""
        return forward_flops(self.model, self.data.inputs)

    def record(self, weights: Weights, checkpoint: int) -> Told:
        """Look at all its examples with the global network, as this epoch of its recording. Epochs that it missed are
        kept as not seen; a recording that is ahead, from before a kill, is rewound.

        Raises:
            TrainmapError: weights of another network, or numbers that are none.
        """
        load(self.model, weights, f"client {self.number}")
        with clock() as took, self._recorder("sweep", checkpoint) as recorder:
            recorder.update(self.data.ids, predict(self.model, self.data, device=self.device), self.data.y)
            recorder.end_epoch()
        self._mapped = None
        return Told(len(self.data), sweep_flops=inference_flops(self.forward, len(self.data)), **took())

    def train(
        self, weights: Weights, round_number: int, proximal_mu: float = 0.0, thresholds: Thresholds | None = None
    ) -> tuple[dict[str, Array], Told]:
        """Train the global network on what it chooses, for the local epochs of a round (from 1 on).

        Args:
            proximal_mu: adds mu / 2 |w - w_global|^2 to the loss (FedProx, arXiv:1812.06127, section 4.1).
            thresholds: of all clients together, where the choice goes by them.

        Returns:
            its weights after the training, and what it took. Nothing kept: the weights as they came.

        Raises:
            TrainmapError: weights of another network, a training that diverged.
        """
        load(self.model, weights, f"client {self.number}")
        chosen, mapped = self.choose(round_number, thresholds)
        if not len(chosen):
            return dict(weights), Told(len(self.data), mapped=int(mapped))
        local, first = self.federation.local_epochs, (round_number - 1) * self.federation.local_epochs
        with self._watching(first) as recorder, proximal(self.model, proximal_mu):
            result = fit(
                self.model,
                self.data if len(chosen) == len(self.data) else self.data.subset(chosen),
                self.recipe,
                seed=self._seed(0),
                watching=Watching(recorder, on_epoch=lambda epoch, _: epoch + 1 == first + local),
                checkpoint=Progress(epoch=first),
                device=self.device,
            )
        seen = result.examples_seen
        took = {"seconds": result.seconds, "cpu_seconds": result.cpu_seconds, "train_flops": result.flops}
        return weights_of(self.model), Told(len(self.data), len(chosen), seen, int(mapped), **took)

    def choose(self, round_number: int, thresholds: Thresholds | None = None) -> tuple[Array, bool]:
        """The ids that it trains on in a round, ascending, and whether its map chose them.

        Percentages are of its own examples, rounded half up, at least one. Where the map knows too little, as many are
        drawn at random.
        """
        choice, ids = self.federation.choice, np.sort(self.data.ids)
        if choice.everything:
            return ids, False
        share = sum(part.percent or 100 for part in choice.plan.parts)
        size = min(len(ids), max(1, int(len(ids) * float(share) / 100 + 0.5)))
        seed = self._seed(0 if choice.once else round_number)
        datamap = self.map(round_number) if choice.request.reads_map else None
        if datamap is None:
            return np.sort(np.random.default_rng(seed).permutation(ids)[:size]), False
        if choice.bounds != "local" and thresholds is not None:
            beyond = thresholds.beyond(datamap)
            if choice.bounds == "global":
                return beyond, True
            size = min(len(ids), max(1, (len(beyond) + size + 1) // 2))
        return select(datamap, choice.plan, size, seed).ids, True

    def histogram(self, round_number: int) -> Array:
        """What it tells of its map at the start of a round: with the whole noise, or exact without privacy. One that
        cannot read its map yet tells of no examples.

        Raises:
            Declined: nothing is to be told in this round, or not openly; all that may be told was told.
        """
        privacy = self.federation.privacy
        if privacy is not None and privacy.secure:
            raise Declined(f"client {self.number}: histograms of this federation are told by secure aggregation alone")
        return self._told(round_number, 1)

    def share(self, round_number: int, clients: int) -> Array:
        """What it adds to the sum of secure aggregation: with its share of the noise.

        Args:
            clients: how many at least the sum is opened of.

        Raises:
            Declined: as ``histogram``; or it told its part in this round before. Of two sums of one round, one of them
                without a client, the difference would be that client's counts.
        """
        privacy = self.federation.privacy
        if privacy is None or not privacy.secure:
            raise Declined(f"client {self.number}: this federation has no secure aggregation")
        return self._told(round_number, clients)

    def _told(self, round_number: int, clients: int) -> Array:
        federation = self.federation
        if not federation.tells(round_number):
            raise Declined(f"client {self.number}: no histogram is told in round {round_number}")
        datamap = self.map(round_number)
        if datamap is None:
            exact = histogram(np.empty(0), np.empty(0))
        else:
            exact = histogram(datamap.values("confidence"), datamap.values("variability"))
        if federation.privacy is None:
            return exact
        whole = variance(federation.privacy, federation.releases)
        part = share(whole, clients) if federation.privacy.secure else whole
        source = randomness(self.noise, federation.seed, self.number, round_number)
        if self.noise == "seed":  # told again, it is the same by itself
            return noised(exact, part, source)
        if federation.privacy.secure and self.ledger.has(round_number):
            raise Declined(f"client {self.number} has told its part of the sum of round {round_number} before")
        told = self.ledger.told(round_number, exact, part, source)
        if told is None:
            raise Declined(
                f"client {self.number} has told all {federation.releases} histograms that were accounted for"
            )
        return told

    def map(self, round_number: int) -> DataMap | None:
        """The map that a round chooses by; None while too few checkpoints have shown it every example."""
        due, choice = self.federation.recording.made(round_number), self.federation.choice
        if not due or not (self.folder / "manifest.json").exists():
            return None
        if self._mapped is not None and self._mapped[0] == due:
            return self._mapped[1]
        dynamics = Dynamics.open(self.folder)
        epochs = min(due, dynamics.epochs)
        whole = sum(bool(np.isfinite(dynamics.column(at, "p_gold")).all()) for at in range(epochs))
        if whole < choice.least:
            return None
        datamap = DataMap.from_dynamics(dynamics, scores=choice.request.columns, epochs=epochs, workers=1)
        self._mapped = due, datamap
        return datamap

    def _seed(self, round_number: int) -> int:
        state = np.random.SeedSequence([self.federation.seed, self.number, round_number]).generate_state(1)
        return int(state[0])

    @contextmanager
    def _watching(self, epoch: int) -> Iterator[Recorder | None]:
        """The recorder of the training's own steps, where these are recorded."""
        if self.federation.recording.nothing or self.federation.recording.source != "training":
            yield None
            return
        self._mapped = None
        with self._recorder("train", epoch) as recorder:
            yield recorder

    def _recorder(self, source: Literal["train", "sweep"], epoch: int) -> Recorder:
        """Its recorder at ``epoch``: what it missed is kept as not seen, what is ahead goes.

        Raises:
            Declined: the folder has the recording of another federation.
        """
        self._own_folder()
        how: dict[str, Any] = {"ids": self.data.ids, "labels": self.data.y, "source": source, "allow_missing": True}
        with _unsaid():
            recorder = Recorder(self.folder, self.data.classes, resume=True, **how)
        (recorder.rewind if recorder.epoch > epoch else recorder.skip_to)(epoch)
        return recorder

    def _own_folder(self) -> None:
        """A recording belongs to one federation: epochs of two are not of the same networks."""
        stamp, ours = self.folder.parent / STAMP, self.ledger.about
        if not stamp.exists() and not self.folder.exists():
            stamp.parent.mkdir(parents=True, exist_ok=True)
            write_json(stamp, {"federation": ours})
        elif not stamp.exists() or read_json(stamp, "federation of a recording") != {"federation": ours}:
            raise Declined(f"client {self.number}: its folder has the recording of another federation; give it another")


@contextmanager
def _unsaid() -> Iterator[None]:
    """A recording goes on at every checkpoint; that is not worth a line in the log."""

    def other(record: logging.LogRecord) -> bool:
        return "recording goes on" not in str(record.msg)

    log.addFilter(other)
    try:
        yield
    finally:
        log.removeFilter(other)


def load(model: nn.Module, weights: Weights, who: str) -> None:
    """Put weights into a network.

    Raises:
        Declined: other names or shapes, or values that are not finite.
    """
    ours = model.state_dict()
    if ours.keys() != weights.keys():
        odd = sorted(ours.keys() ^ weights.keys())
        raise Declined(f"{who}: the global model has other arrays than this network ({some(odd)}); same model?")
    for name, tensor in ours.items():
        if tuple(tensor.shape) != weights[name].shape:
            raise Declined(
                f"{who}: {name} of the global model must have shape {tuple(tensor.shape)}, got {weights[name].shape}"
            )
        if not np.isfinite(weights[name]).all():
            raise Declined(f"{who}: {name} of the global model has values that are not finite")
    model.load_state_dict({name: torch.from_numpy(np.array(weights[name])) for name in ours})


def weights_of(model: nn.Module) -> dict[str, Array]:
    """A network's state, copied to numpy."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in model.state_dict().items()}


@contextmanager
def proximal(model: nn.Module, mu: float) -> Iterator[None]:
    """Meanwhile every gradient has mu (w - w0) added, the gradient of mu / 2 |w - w0|^2; w0 are the weights now."""
    handles = []
    for parameter in model.parameters() if mu else ():
        start = parameter.detach().clone()
        handles.append(parameter.register_hook(_pull(parameter, start, mu)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _pull(parameter: nn.Parameter, start: torch.Tensor, mu: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda gradient: gradient + mu * (parameter.detach() - start.to(parameter))


@contextmanager
def clock() -> Iterator[Callable[[], dict[str, Any]]]:
    """Says what it took since, as ``Told`` has it."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield lambda: {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
