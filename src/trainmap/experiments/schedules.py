"""The rows that change during training: what ``fit`` is given for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from trainmap.data.dataset import Dataset
from trainmap.models.build import build
from trainmap.schedules import SCHEDULES, Options, Run
from trainmap.schedules.proxy_options import ProxyOptions
from trainmap.training.proxy import ProxyFilter

PROXY = 1  # purpose of a seed


def options_of(settings: Mapping[str, Any]) -> Options:
    """The options of a schedule.

    Args:
        settings: ``name`` and every option.

    Raises:
        TrainmapError: an option out of its limits.
    """
    return SCHEDULES[settings["name"]](**{key: value for key, value in settings.items() if key != "name"})


def visits(settings: Mapping[str, Any], examples: int, epochs: int) -> int:
    """How many examples an epoch is expected to train on, the mean over so many; for InfoBatch a guess."""
    return options_of(settings).visits(examples, epochs)


def fit_arguments(config: Mapping[str, Any], train: Dataset) -> dict[str, Any]:
    """What ``fit`` is given for the row: a schedule, or a proxy.

    Args:
        config: of a student's run. Trained for a number of steps, it lasts as many epochs as they are expected to make.
        train: all the examples.
    """
    epochs = config["recipe"]["epochs"]
    if config["steps"] is not None:
        epochs = math.ceil(config["steps"] / math.ceil(config["subset"]["count"] / config["recipe"]["batch"]))
    run = Run(train.ids, epochs, config["seed"])
    options = options_of(config["subset"]["schedule"])
    return {"proxy" if options.in_batches else "schedule": options.make(with_network(run, train))}


def with_network(run: Run, train: Dataset) -> Run:
    """A run that makes the small network of a proxy for these examples."""

    def network(options: Options) -> ProxyFilter:
        assert isinstance(options, ProxyOptions)
        own = int(np.random.SeedSequence([run.seed, PROXY]).generate_state(1)[0])
        return ProxyFilter(build(options.model, train.classes, train.inputs, own), options.keep, options.every)

    return replace(run, network=network)


def proxy_flops(settings: Mapping[str, Any], forward: int, seen: int) -> int:
    """What a proxy is expected to cost (``ProxyOptions.flops``)."""
    options = options_of(settings)
    assert isinstance(options, ProxyOptions)
    return options.flops(forward, seen)
