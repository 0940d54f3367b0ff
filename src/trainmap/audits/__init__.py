"""Which labels look wrong. The room is called audits because ``trainmap.audit`` is the function that makes one.

Its files, in reading order::

    suspicion.py   rules that say how suspicious a label is
    thresholds.py  from which suspicion on a label is suspected, class by class
    suspects.py    what an audit found
    number_audit.py  the audit of targets, of several labels and of sequences
    audit.py       the audit of a recording
    planted.py     labels changed on purpose, to calibrate an audit
    precision.py   how good an audit is, from planted labels
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.audits.audit import audit_threshold_samples
    from trainmap.audits.planted import Flips, ThresholdSamples, plan_flips, plan_threshold_samples
    from trainmap.audits.suspects import Audit, check_audit_name
    from trainmap.audits.suspicion import RULES
    from trainmap.audits.thresholds import Thresholds, by_class, same_for_all, told, warnings_of
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "audit": "audit_threshold_samples",
            "planted": "Flips ThresholdSamples plan_flips plan_threshold_samples",
            "suspects": "Audit check_audit_name",
            "suspicion": "RULES",
            "thresholds": "Thresholds by_class same_for_all told warnings_of",
        },
    )

# fmt: off
__all__ = [
    "RULES", "Audit", "Flips", "ThresholdSamples", "Thresholds", "audit_threshold_samples", "by_class",
    "check_audit_name", "plan_flips", "plan_threshold_samples", "same_for_all", "told", "warnings_of",
]
# fmt: on
