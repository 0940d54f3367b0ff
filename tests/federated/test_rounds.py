"""The rounds of a federation in one process: what is averaged, who takes part, what is refused, what goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Message
from tests.federated.clients_of import RECIPE, parts_of_digits, small

from trainmap import Dynamics
from trainmap.errors import StoreError, TrainmapError
from trainmap.federated import (
    AGGREGATIONS,
    Choice,
    Client,
    Federation,
    Privacy,
    Recording,
    participants,
    weights_of,
)
from trainmap.federated.client import load, proximal
from trainmap.federated.messages import ARRAYS, METRICS, record_of, weights_in
from trainmap.models.build import build
from trainmap.models.predict import predict
from trainmap.training.fit import fit


def equal(a: Any, b: Any) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_fedavg_is_the_mean_of_the_clients_networks_weighted_by_their_examples(tmp_path: Path) -> None:
    run = small(tmp_path, sizes=(60, 20), rounds=1, recording=Recording(nothing=True))
    first = weights_of(build(run.model, 10, run.data[0].inputs, 0))
    alone = [client.train(first, 1)[0] for client in run.clients]
    made = run.run().weights
    for name, value in made.items():
        mean = (60 * alone[0][name].astype(np.float64) + 20 * alone[1][name]) / 80
        np.testing.assert_allclose(value, mean, rtol=2e-6, atol=1e-7)


def test_one_client_with_everything_is_ordinary_training(tmp_path: Path) -> None:
    data = parts_of_digits([80])
    run = small(tmp_path, sizes=(80,), rounds=1, local_epochs=3, recording=Recording(nothing=True))
    made = run.run().weights
    network = build(run.model, 10, data[0].inputs, 0)
    fit(network, data[0], replace(RECIPE, epochs=3), seed=run.clients[0]._seed(0))
    assert equal(made, weights_of(network))


def test_the_answer_does_not_depend_on_who_answers_first(tmp_path: Path) -> None:
    a, b = small(tmp_path / "a", rounds=2), small(tmp_path / "b", rounds=2)
    plain = b.grid.pull_messages
    b.grid.pull_messages = lambda ids: list(reversed(list(plain(ids))))  # type: ignore[method-assign]
    assert equal(a.run().weights, b.run().weights)


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_every_aggregation_learns_and_goes_on_after_a_kill_as_if_nothing_had_happened(
    name: str, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"aggregation": name, "rounds": 4, "choice": Choice("50% ambiguous")}
    whole = small(tmp_path / "whole", model="cnn-8", **settings).run()
    assert whole.rounds[-1].metrics["accuracy"] > whole.rounds[0].metrics["accuracy"]

    class Killed(Exception):
        pass

    def stop(one: Any) -> None:
        if one.number == 2:
            raise Killed

    file = tmp_path / "state.pt"
    with pytest.raises(Killed):
        small(tmp_path / "cut", model="cnn-8", **settings).run(file=file, on_round=stop)
    after = small(tmp_path / "cut", model="cnn-8", **settings).run(file=file)
    assert equal(whole.weights, after.weights)
    assert [one.metrics for one in whole.rounds] == [one.metrics for one in after.rounds]


def test_a_state_of_another_federation_is_refused(tmp_path: Path) -> None:
    small(tmp_path / "a", rounds=1).run(file=tmp_path / "state.pt")
    with pytest.raises(StoreError, match="of another federation \\(other federation"):
        small(tmp_path / "b", rounds=2).run(file=tmp_path / "state.pt")


def test_who_takes_part_follows_from_the_seed_and_the_round(tmp_path: Path) -> None:
    federation = Federation(rounds=5, participation=0.5, seed=3)
    rounds = [participants(6, federation, number) for number in range(1, 6)]
    assert all(len(one) == 3 == len(set(one)) for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1
    assert rounds == [participants(6, federation, number) for number in range(1, 6)]
    assert participants(6, Federation(rounds=1, participation=0.01), 1)
    told = small(tmp_path, participation=0.67).run().rounds
    assert [len(one.clients) for one in told] == [0, 2, 2, 2]


def test_clients_that_sit_out_record_the_checkpoints_too(tmp_path: Path) -> None:
    run = small(tmp_path, rounds=3, participation=0.34)
    run.run()
    recorded = [Dynamics.open(client.folder) for client in run.clients]
    assert [one.epochs for one in recorded] == [3, 3, 3]  # before rounds 2 and 3, and after the last
    assert all(np.isfinite(one.column(at, "p_gold")).all() for one in recorded for at in range(3))
    assert {one.source for one in recorded} == {"sweep"}


def test_a_checkpoint_is_the_global_network_as_every_client_got_it(tmp_path: Path) -> None:
    run = small(tmp_path, rounds=2)
    run.run()
    sent = [message for message in run.messages if message.has_content() and ARRAYS in message.content]
    second = next(weights_in(one) for one in sent if one.metadata.group_id == "2")
    load(run.network, second, "here")
    client = run.clients[1]
    logits = predict(run.network, client.data).astype(np.float64)
    p = np.exp(logits - logits.max(1, keepdims=True))
    gold = (p / p.sum(1, keepdims=True))[np.arange(len(p)), client.data.y]
    dynamics = Dynamics.open(client.folder)
    order = np.argsort(client.data.ids)
    np.testing.assert_allclose(dynamics.column(0, "p_gold"), gold[order], rtol=1e-5)


def test_training_steps_can_be_recorded_instead(tmp_path: Path) -> None:
    run = small(tmp_path, rounds=4, local_epochs=2, participation=0.67, recording=Recording("training"))
    run.run()
    for number, client in enumerate(run.clients):
        dynamics = Dynamics.open(client.folder)
        took = [number in participants(3, run.federation, one) for one in range(1, 5)]
        seen = [bool(np.isfinite(dynamics.column(at, "p_gold")).all()) for at in range(dynamics.epochs)]
        assert dynamics.source == "train"
        assert seen == [took[at // 2] for at in range(dynamics.epochs)]


def test_a_choice_by_the_map_begins_at_random_and_keeps_its_share(tmp_path: Path) -> None:
    run = small(tmp_path, sizes=(60, 50, 9), rounds=5, choice=Choice("33% ambiguous"))
    told = run.run().rounds[1:]
    assert [[one.clients[name]["kept"] for name in "012"] for one in told] == [[20, 17, 3]] * 5
    assert [one.clients["0"]["mapped"] for one in told] == [0, 0, 1, 1, 1]
    chosen, mapped = run.clients[0].choose(5)
    datamap = run.clients[0].map(5)
    assert mapped
    assert datamap is not None
    best = datamap.table.sort("variability", descending=True)["id"].to_numpy()[:20]
    assert set(chosen) == set(best)


def test_random_is_drawn_afresh_unless_once(tmp_path: Path) -> None:
    fresh = small(tmp_path / "a", choice=Choice("33% random")).clients[0]
    once = small(tmp_path / "b", choice=Choice("33% random", once=True)).clients[0]
    assert set(fresh.choose(1)[0]) != set(fresh.choose(2)[0])
    assert set(once.choose(1)[0]) == set(once.choose(2)[0])
    assert len(once.choose(1)[0]) == len(fresh.choose(2)[0]) == 20


def test_the_proximal_term_is_its_gradient() -> None:
    layer, x = torch.nn.Linear(3, 2), torch.ones(4, 3)

    def gradient() -> torch.Tensor:
        layer.zero_grad()
        layer(x).pow(2).mean().backward()
        assert layer.weight.grad is not None
        return layer.weight.grad.clone()

    start = layer.weight.detach().clone()
    with proximal(layer, 0.5):
        with torch.no_grad():
            layer.weight += torch.arange(6.0).reshape(2, 3)
        pulled = gradient()
    torch.testing.assert_close(pulled, gradient() + 0.5 * (layer.weight.detach() - start))


def spoiled(**metrics: Any) -> Any:
    def change(asked: Message, reply: Message) -> Message:
        if asked.metadata.message_type == "train":
            for name, value in metrics.items():
                reply.content[METRICS][name.replace("_", "-") if name == "num_examples" else name] = value
        return reply

    return change


def with_arrays(change: Any) -> Any:
    def spoil(asked: Message, reply: Message) -> Message:
        if asked.metadata.message_type == "train":
            weights = weights_in(reply)
            change(weights)
            reply.content[ARRAYS] = record_of(weights)
        return reply

    return spoil


def _nan(weights: dict[str, Any]) -> None:
    name = next(iter(weights))
    weights[name] = np.full_like(weights[name], np.nan)


def _shape(weights: dict[str, Any]) -> None:
    name = next(iter(weights))
    weights[name] = weights[name][:1]


def _name(weights: dict[str, Any]) -> None:
    weights["more"] = np.zeros(3)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (spoiled(num_examples=10**18), "num-examples must be a whole number, at most"),
        (spoiled(num_examples=0.5), "num-examples must be a whole number"),
        (spoiled(kept=-1), "kept must be a number from 0 on"),
        (spoiled(num_examples=30), "it says that it trained on 30 examples, kept 50 of 50"),
        (spoiled(num_examples=60, kept=60), "it says that it trained on 60 examples, kept 60 of 50"),
        (spoiled(seconds=float("nan")), "seconds must be a number from 0 on"),
        (spoiled(ids=[1, 2, 3]), "its metrics must be"),
        (with_arrays(_nan), "has values that are not finite"),
        (with_arrays(_shape), "as it was sent, got"),
        (with_arrays(_name), "other names"),
    ],
)
def test_a_broken_reply_is_refused_by_name_and_the_round_goes_on(spoil: Any, why: str, tmp_path: Path) -> None:
    run = small(tmp_path / "spoiled", rounds=2, recording=Recording(nothing=True))
    run.spoil[1] = spoil
    told = run.run().rounds
    assert all(why in one.refused["1"] for one in told[1:])
    assert all(one.clients.keys() == {"0", "2"} for one in told[1:])
    without = small(tmp_path / "without", rounds=2, recording=Recording(nothing=True))
    without.spoil[1] = with_arrays(_nan)
    assert equal(run.run().weights, without.run().weights)


def test_a_network_of_another_shape_is_refused_by_the_client(tmp_path: Path) -> None:
    client = Client(3, parts_of_digits([20])[0], "cnn-8", RECIPE, Federation(rounds=1), tmp_path)
    other = weights_of(build("cnn-16", 10, client.data.inputs, 0))
    with pytest.raises(TrainmapError, match=r"client 3: .* of the global model must have shape"):
        client.train(other, 1)
    with pytest.raises(TrainmapError, match="other arrays than this network"):
        client.train(weights_of(build("mlp-256", 10, client.data.inputs, 0)), 1)


def test_a_client_needs_an_example_and_one_is_enough(tmp_path: Path) -> None:
    data = parts_of_digits([30])[0]
    with pytest.raises(TrainmapError, match="client 0 has no examples"):
        Client(0, data.subset([]), "mlp-256", RECIPE, Federation(rounds=1), tmp_path)
    run = small(tmp_path, sizes=(40, 1), rounds=4, choice=Choice("33% ambiguous"))
    assert [one.clients["1"]["kept"] for one in run.run().rounds[1:]] == [1] * 4


def test_a_client_with_one_class_takes_part(tmp_path: Path) -> None:
    run = small(tmp_path, rounds=4, choice=Choice("50% auto"))
    only = run.data[0].subset(run.data[0].ids[run.data[0].y == run.data[0].y[0]])
    run.clients[0] = Client(0, only, run.model, RECIPE, run.federation, tmp_path / "one")
    assert not any(one.refused for one in run.run().rounds)


def test_too_few_clients_and_two_with_one_number_are_errors(tmp_path: Path) -> None:
    run = small(tmp_path / "a", rounds=1)
    run.data.append(run.data[0])
    with pytest.raises(TrainmapError, match="4 clients must be there, found 3"):
        run.run()
    run = small(tmp_path / "b", rounds=1)
    run.clients[1].number = 0
    with pytest.raises(TrainmapError, match="two clients say that they are number 0"):
        run.run()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"rounds": 0}, "rounds must be"),
        ({"rounds": 3, "participation": 0.0}, "participation must be above 0"),
        ({"rounds": 3, "participation": 1.5}, "participation must be"),
        ({"rounds": 2, "choice": Choice("33% ambiguous")}, "needs 2 recorded checkpoints"),
        ({"rounds": 9, "choice": Choice("33% auto"), "recording": Recording(nothing=True)}, "nothing is recorded"),
        (
            {"rounds": 9, "choice": Choice("33% auto"), "recording": Recording("training")},
            "only what was chosen before",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(TrainmapError, match=why):
        Federation(**settings)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"spec": "ambiguous"}, "must say a percentage"),
        ({"spec": "20 ambiguous"}, "must say a percentage"),
        ({"spec": "33% ambiguos"}, "did you mean"),
        ({"spec": "33% ambiguous", "once": True}, "only what reads no map is drawn once"),
        ({"spec": "33% random", "bounds": "global"}, "reads no map"),
        ({"spec": "33% moderate"}, "reads features"),
        ({"spec": "33% ambiguous", "bounds": "some"}, "bounds must be"),
    ],
)
def test_choices_that_cannot_work_are_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(TrainmapError, match=why):
        Choice(**given)


def test_settings_travel_as_text() -> None:
    federation = Federation(
        rounds=9, participation=0.5, aggregation="fedprox", options={"proximal_mu": 0.1}, choice=Choice("33% auto")
    )
    assert Federation.from_json(federation.to_json()) == federation


def test_a_recording_belongs_to_one_federation(tmp_path: Path) -> None:
    data = parts_of_digits([30])[0]
    first = Client(0, data, "mlp-256", RECIPE, Federation(rounds=3), tmp_path)
    weights = weights_of(build("mlp-256", 10, data.inputs, 0))
    first.record(weights, 0)
    again = Client(0, data, "mlp-256", RECIPE, Federation(rounds=3), tmp_path)
    again.record(weights, 1)
    other = Client(0, data, "mlp-256", RECIPE, Federation(rounds=3, seed=1), tmp_path)
    with pytest.raises(TrainmapError, match="client 0: its folder has the recording of another federation"):
        other.record(weights, 2)
    assert Dynamics.open(first.folder).epochs == 2


def test_only_checkpoints_have_rounds_between_them() -> None:
    with pytest.raises(TrainmapError, match="a training is recorded in each round"):
        Recording("training", every=2)


def lose(run: Any, number: int) -> None:
    """From now on nobody is at the node of this client."""
    node = 1000 - 7 * number
    there = [one for one in run.grid.get_node_ids() if one != node]
    run.grid.get_node_ids = lambda: there


def test_a_federation_goes_on_with_as_many_as_its_last_round_had(tmp_path: Path) -> None:
    def leave(run: Any) -> Any:
        return lambda one: lose(run, 1) if one.number == 1 else None

    whole = small(tmp_path / "whole", rounds=4)
    told = whole.run(on_round=leave(whole)).rounds
    assert [one.absent for one in told] == [(), (), (1,), (1,), (1,)]

    class Killed(Exception):
        pass

    def stop(run: Any) -> Any:
        def on_round(one: Any) -> None:
            leave(run)(one)
            if one.number == 2:
                raise Killed

        return on_round

    cut = small(tmp_path / "cut", rounds=4)
    with pytest.raises(Killed):
        cut.run(file=tmp_path / "state.pt", on_round=stop(cut))
    after = small(tmp_path / "cut", rounds=4)
    lose(after, 1)
    outcome = after.run(file=tmp_path / "state.pt")
    assert [one.absent for one in outcome.rounds] == [one.absent for one in told]
    assert [one.metrics for one in outcome.rounds] == [one.metrics for one in told]
    finished = small(tmp_path / "cut", rounds=4)
    lose(finished, 0)
    assert len(finished.run(file=tmp_path / "state.pt").rounds) == 5


def test_a_state_agrees_on_whatever_else_is_told(tmp_path: Path) -> None:
    small(tmp_path / "a", rounds=1).run(file=tmp_path / "state.pt", settings="batch 16")
    with pytest.raises(StoreError, match=r"of another federation \(other settings"):
        small(tmp_path / "a", rounds=1).run(file=tmp_path / "state.pt", settings="batch 32")


@pytest.mark.parametrize("secure", [False, True])
def test_a_client_that_was_lost_in_a_round_is_not_asked_again_in_it(secure: bool, tmp_path: Path) -> None:
    choice, privacy = Choice("33% ambiguous", bounds="global"), Privacy(50.0, secure=secure)
    run = small(tmp_path, (20, 15, 10, 10, 10), rounds=4, choice=choice, privacy=privacy)
    asked: list[str] = []
    plain = run.grid.send_and_receive

    def without(messages: Any, **how: Any) -> Any:
        kept = list(messages)
        asked.extend(one.metadata.message_type for one in kept if one.metadata.dst_node_id == 1000)
        mute = [one for one in kept if one.metadata.dst_node_id != 1000]
        return plain(mute, **how)

    def first(one: Any) -> None:
        if one.number == 2:  # in round 3 histograms are told
            run.grid.send_and_receive = without

    rounds = run.run(on_round=first).rounds
    assert rounds[3].absent == (0,)
    assert asked[0] == "query.record"
    assert asked.count("query.record") >= 1
    assert len(asked) <= 3  # one question a round, and the last look
