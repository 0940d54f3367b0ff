"""How good a network is: on the test set, on shifted and foreign data, and beside another network.

Its files, in reading order::

    metrics.py         accuracy, F1, calibration
    predictions.py     predictions as a file
    blurs.py           four corruptions
    weather.py         and four more
    corruptions.py     CORRUPTIONS: the fifteen of CIFAR-10-C
    shifts.py          test sets under shift
    ood.py             foreign data
    counterfactual.py  revised sentences
    flips.py           what changes when one network replaces another
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.evaluation.blurs import along_a_line, clipped_zoom, defocus, disk, glass, motion, zoom
    from trainmap.evaluation.corruptions import (
        CORRUPTIONS,
        Corruption,
        check_corruption,
        contrast,
        corrupt,
        elastic,
        gaussian_noise,
        impulse_noise,
        jpeg,
        pixelate,
        shot_noise,
        to_bytes,
    )
    from trainmap.evaluation.counterfactual import consistency, load_counterfactual
    from trainmap.evaluation.flips import KINDS, Flips
    from trainmap.evaluation.metrics import evaluate
    from trainmap.evaluation.ood import (
        OUTLIER_SCORES,
        Detection,
        detect,
        energy,
        entropy,
        max_logit,
        max_softmax,
        separation,
    )
    from trainmap.evaluation.predictions import FORMAT, Predictions, regions_of
    from trainmap.evaluation.shifts import (
        Row,
        Shift,
        as_mnist,
        evaluate_everywhere,
        is_made_for,
        load_shift,
        mean_corruption_error,
        usps,
    )
    from trainmap.evaluation.weather import brightness, fog, frost, grey, plasma, snow
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "blurs": "along_a_line clipped_zoom defocus disk glass motion zoom",
            "corruptions": (
                "CORRUPTIONS Corruption check_corruption contrast corrupt elastic gaussian_noise impulse_noise jpeg "
                "pixelate shot_noise to_bytes"
            ),
            "counterfactual": "consistency load_counterfactual",
            "flips": "KINDS Flips",
            "metrics": "evaluate",
            "ood": "OUTLIER_SCORES Detection detect energy entropy max_logit max_softmax separation",
            "predictions": "FORMAT Predictions regions_of",
            "shifts": "Row Shift as_mnist evaluate_everywhere is_made_for load_shift mean_corruption_error usps",
            "weather": "brightness fog frost grey plasma snow",
        },
    )

# fmt: off
__all__ = [
    "CORRUPTIONS", "FORMAT", "KINDS", "OUTLIER_SCORES", "Corruption", "Detection", "Flips", "Predictions", "Row",
    "Shift", "along_a_line", "as_mnist", "brightness", "check_corruption", "clipped_zoom", "consistency", "contrast",
    "corrupt", "defocus", "detect", "disk", "elastic", "energy", "entropy", "evaluate", "evaluate_everywhere", "fog",
    "frost", "gaussian_noise", "glass", "grey", "impulse_noise", "is_made_for", "jpeg", "load_counterfactual",
    "load_shift", "max_logit", "max_softmax", "mean_corruption_error", "motion", "pixelate", "plasma", "regions_of",
    "separation", "shot_noise", "snow", "to_bytes", "usps", "zoom",
]
# fmt: on
