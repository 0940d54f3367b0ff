"""From a teacher: losses that return one value for each example, and the logits that are made once and kept.

A new loss is one function and one line in ``LOSSES``.

Its files, in reading order::

    logits.py       losses on logits
    inner.py        losses on inner values
    losses.py       the labels' own loss, and LOSSES
    settings.py     how a student learns from its teacher
    kept_logits.py  a file of logits and its card
    cache.py        a teacher's logits, computed once
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.distillation.cache import fingerprint, teacher_logits
    from trainmap.distillation.inner import feature_matching, lsp
    from trainmap.distillation.kept_logits import open_logits, read_card
    from trainmap.distillation.logits import check_temperature, dist, dkd, hinton, per_example, standardised
    from trainmap.distillation.losses import TeacherLoss, cross_entropy
    from trainmap.distillation.settings import Distillation, Settled, column, name_of, settled
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "cache": "fingerprint teacher_logits",
            "inner": "feature_matching lsp",
            "kept_logits": "open_logits read_card",
            "logits": "check_temperature dist dkd hinton per_example standardised",
            "losses": "TeacherLoss cross_entropy",
            "settings": "Distillation Settled column name_of settled",
        },
    )

# fmt: off
__all__ = [
    "Distillation", "Settled", "TeacherLoss", "check_temperature", "column", "cross_entropy", "dist", "dkd",
    "feature_matching", "fingerprint", "hinton", "lsp", "name_of", "open_logits", "per_example", "read_card",
    "settled", "standardised", "teacher_logits",
]
# fmt: on
