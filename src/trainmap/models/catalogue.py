"""The networks that can be had for given images, and what each costs; nothing is trained, no weight is made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import torch

from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError, unknown
from trainmap.models.build import SMALLEST, build, models_for
from trainmap.models.cost import activations, forward_flops, parameter_bytes, parameters
from trainmap.models.encoders import is_encoder
from trainmap.models.probe import foreign


@dataclass(frozen=True)
class Catalogue:
    """What ``catalogue`` found.

    Attributes:
        inputs, classes: what the networks were built for.
        table: ``model``, ``family``, ``parameters``, ``flops`` (forward pass of one example), ``activations`` (numbers
            that its layers put out for one example), ``bytes`` (weights and statistics in single precision; a file of
            them is a few percent larger at most).
        left_out: networks that could not be built, and why.
    """

    inputs: Inputs
    classes: int
    table: pl.DataFrame
    left_out: Mapping[str, str]


def catalogue(inputs: Inputs, classes: int = 10, families: Sequence[str] | None = None) -> Catalogue:
    """Count every network that takes these inputs, on the meta device.

    Args:
        inputs: such as ``Inputs.images(3, 32)``.
        classes: number of logits.
        families: only these, such as ``["resnet", "vgg"]``; all by default.

    Raises:
        TrainmapError: an unknown family, or images smaller than any network takes.
    """
    if inputs.form == "pixels" and min(inputs.shape[1:]) < SMALLEST:
        raise TrainmapError(f"the networks take images of at least {SMALLEST} x {SMALLEST}, got {inputs}")
    names = [name for name in models_for(inputs) if "+" not in name]
    known = list(dict.fromkeys(map(family, names)))
    for wanted in families or ():
        if wanted not in known:
            raise unknown("family", wanted, known)
    rows, left_out = [], {}
    for name in names:
        if families and family(name) not in families:
            continue
        try:
            with torch.device("meta"):
                model = build(name, classes, inputs, seed=0)
        except TrainmapError as error:
            left_out[name] = str(error)
            continue
        counts = parameters(model), forward_flops(model, inputs), activations(model, inputs), parameter_bytes(model)
        rows.append((name, family(name), *counts))
    columns = {"model": pl.String, "family": pl.String}
    columns |= dict.fromkeys(("parameters", "flops", "activations", "bytes"), pl.Int64)
    return Catalogue(inputs, classes, pl.DataFrame(rows, schema=columns, orient="row"), left_out)


def count(name: str, classes: int, inputs: Inputs) -> tuple[int, int]:
    """Parameters of a network, and FLOPs of its forward pass of one example; no weights are loaded or downloaded.

    On the meta device, so that none are made either; on the CPU for pretrained encoders that look at values on their
    way (DeBERTa).

    Raises:
        TrainmapError: what ``build`` raises, or an encoder that does not run.
    """
    with torch.device("meta"):
        network = build(name, classes, inputs, 0, weights=False)
    found = parameters(network)
    if not is_encoder(name):
        return found, forward_flops(network, inputs)
    try:
        return found, forward_flops(network, inputs)
    except (RuntimeError, NotImplementedError):
        with foreign(f"{name} does not run on {inputs}", "give another encoder"):
            return found, forward_flops(build(name, classes, inputs, 0, weights=False), inputs)


def family(name: str) -> str:
    """What stands before the size: "resnet" for "resnet18" and "resnet20-16"."""
    found = re.match(r"mobilenetv2|[a-z]+", name)
    return found.group() if found else name
