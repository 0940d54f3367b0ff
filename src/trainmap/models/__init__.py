"""What is trained: networks by name, their costs, and what they predict.

Its files, in reading order::

    layout.py     how a network lies in memory, and on which device
    probe.py      a network tried on made examples
    weights.py    the weights that a network multiplies by
    octave.py     octave convolution
    airbench.py   a convolutional network that learns in a few epochs
    sequences.py  networks for word tokens
    encoders.py   pretrained text encoders
    build.py      small networks by name
    zoo.py        published networks by family and size
    cost.py       parameters, bytes, FLOPs
    budget.py     what training costs as a whole
    catalogue.py  which networks can be had, and their costs
    predict.py    what a network predicts for every example
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.models.budget import TrainingCost, break_even, inference_flops, training_cost, training_flops
    from trainmap.models.build import check_model, known_models
    from trainmap.models.catalogue import Catalogue, count
    from trainmap.models.cost import forward_flops, parameters
    from trainmap.models.encoders import encoder_weights, is_encoder
    from trainmap.models.layout import is_convolutional, lay_out
    from trainmap.models.octave import (
        OctaveConv2d,
        OctaveNorm,
        OctaveResidual,
        OctaveResNet,
        pool,
        relu,
        split,
        upsample,
    )
    from trainmap.models.predict import BATCH, predict_pairs
    from trainmap.models.probe import check_same_shape, checked, foreign, logits_of
    from trainmap.models.weights import KINDS, fix, free, is_made, masks, original, prunable
    from trainmap.models.zoo import PRETRAINED
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "budget": "TrainingCost break_even inference_flops training_cost training_flops",
            "build": "check_model known_models",
            "catalogue": "Catalogue count",
            "cost": "forward_flops parameters",
            "encoders": "encoder_weights is_encoder",
            "layout": "is_convolutional lay_out",
            "octave": "OctaveConv2d OctaveNorm OctaveResNet OctaveResidual pool relu split upsample",
            "predict": "BATCH predict_pairs",
            "probe": "check_same_shape checked foreign logits_of",
            "weights": "KINDS fix free is_made masks original prunable",
            "zoo": "PRETRAINED",
        },
    )

# fmt: off
__all__ = [
    "BATCH", "KINDS", "PRETRAINED", "Catalogue", "OctaveConv2d", "OctaveNorm", "OctaveResNet", "OctaveResidual",
    "TrainingCost", "break_even", "check_model", "check_same_shape", "checked", "count",
    "encoder_weights", "fix", "foreign", "forward_flops", "free", "inference_flops", "is_convolutional",
    "is_encoder", "is_made", "known_models", "lay_out", "logits_of", "masks", "original", "parameters",
    "pool", "predict_pairs", "prunable", "relu", "split", "training_cost", "training_flops", "upsample",
]
# fmt: on
