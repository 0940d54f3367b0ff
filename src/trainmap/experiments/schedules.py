"""The rows that change during training: how many examples they are expected to visit, and what ``fit`` is given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainmap.data.dataset import Dataset
from trainmap.models.build import build
from trainmap.schedules.protocol import SCHEDULES
from trainmap.training.proxy import ProxyFilter

EASY = 0.65  # share of the examples below the mean loss; measured on digits, 4 epochs of cnn-8
PROXY = 1  # purpose of a seed


def visits(settings: Mapping[str, Any], examples: int, epochs: int) -> int:
    """How many examples an epoch is expected to train on, the mean over so many; for InfoBatch a guess.

    Args:
        settings: ``name`` and every option of a schedule.
        examples: N.
        epochs: of the training.

    Raises:
        TrainmapError: options that do not go together.
    """
    name, share, whole = settings["name"], settings.get("size", 1.0), settings.get("warmup", 0)
    if name == "infobatch":
        share, whole = 1 - EASY * settings["ratio"], 1 + epochs - math.ceil(settings["anneal"] * epochs)
    elif name == "ordered-loss":
        share = settings["pool"] * settings["keep"]
    elif name == "map-guided":
        share = (settings["start"] + settings["end"]) / 2
    elif name == "proxy":
        share = settings["keep"]
    if name != "proxy":
        schedule_of(settings, np.arange(examples), epochs, 0)
    whole = min(whole, epochs) / epochs
    return max(1, round((whole + (1 - whole) * share) * examples))


def schedule_of(settings: Mapping[str, Any], ids: np.ndarray, epochs: int, seed: int) -> Any:
    """The schedule of a row, for a training of so many epochs."""
    name = settings["name"]
    options = {key: value for key, value in settings.items() if key != "name"}
    if name == "repeated-random":
        options["size"] = max(1, round(options["size"] * len(ids)))
    if name in ("infobatch", "map-guided"):
        options["epochs"] = epochs
    return SCHEDULES[name](ids, seed=seed, **options)


def fit_arguments(config: Mapping[str, Any], train: Dataset) -> dict[str, Any]:
    """What ``fit`` is given for the row: a schedule, or a proxy.

    Args:
        config: of a student's run. Trained for a number of steps, it lasts as many epochs as they are expected to make.
        train: all the examples.
    """
    settings, seed = config["subset"]["schedule"], config["seed"]
    if settings["name"] == "proxy":
        own = int(np.random.SeedSequence([seed, PROXY]).generate_state(1)[0])
        network = build(settings["model"], train.classes, train.inputs, own)
        return {"visits": ProxyFilter(network, settings["keep"], settings["every"])}
    epochs = config["recipe"]["epochs"]
    if config["steps"] is not None:
        epochs = math.ceil(config["steps"] / math.ceil(config["subset"]["count"] / config["recipe"]["batch"]))
    return {"visits": schedule_of(settings, train.ids, epochs, seed)}


def proxy_flops(settings: Mapping[str, Any], forward: int, seen: int) -> int:
    """What a proxy is expected to cost.

    Args:
        settings: of a row.
        forward: FLOPs of the proxy for one example.
        seen: examples that the large network trains on.
    """
    return round(forward * seen / settings["keep"] * (1 + 2 / settings["every"]))
