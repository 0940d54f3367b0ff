"""The rows that change during training: what ``fit`` is given, and what a proxy costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainmap.data.dataset import Dataset
from trainmap.experiments.tasks.task import Site
from trainmap.maps.datamap import DataMap
from trainmap.models.build import build
from trainmap.schedules.options import Options, Run
from trainmap.schedules.proxy_options import ProxyOptions
from trainmap.schedules.schedule_table import SCHEDULES
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


def schedule_or_proxy(
    settings: Mapping[str, Any], train: Dataset, epochs: int, seed: int, datamap: DataMap | None = None
) -> Any:
    """What ``fit`` is given for the row: a schedule, or a proxy.

    Args:
        settings: ``name`` and every option.
        train: all the examples.
        epochs: of the training.
        seed: of the run.
        datamap: for a schedule that needs one.
    """

    def network(options: Options) -> ProxyFilter:
        assert isinstance(options, ProxyOptions)
        own = int(np.random.SeedSequence([seed, PROXY]).generate_state(1)[0])
        return ProxyFilter(build(options.model, train.classes, train.inputs, own), options.keep, options.every)

    run = Run(train.ids, epochs, seed, datamap, network=network, labels=train.y)
    return options_of(settings).make(run)


def proxy_flops(settings: Mapping[str, Any], site: Site, seen: int) -> dict[str, int]:
    """What a proxy is expected to cost, by the name of its network; nothing where there is none.

    Args:
        settings: of a row.
        site: knows what the proxy costs for one example.
        seen: examples that the large network trains on.
    """
    options = options_of(settings)
    if not isinstance(options, ProxyOptions):
        return {}
    return {options.model: options.flops(site.forward(options.model), seen)}
