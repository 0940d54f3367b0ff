"""To and from other tools' formats. One file for each idea; docs/exchange.md says what survives a round trip.

What needs scores (td_metrics.jsonl, columns for datasets, FiftyOne, Spotlight) is in ``trainmap.maps.exchange``.

Its files, in reading order::

    whole_folder.py    a folder that appears whole or not at all; how an importer writes dynamics
    allenai.py         training_dynamics/dynamics_epoch_N.jsonl of allenai/cartography
    allenai_lines.py   the lines of such a file, read fast, and slowly to name a mistake
    allenai_export.py  A recording as training_dynamics/dynamics_epoch_N
    study_json.py      *_training_dynamics.json of timohromadka/L46_datamaps
    pred_probs.py      cleanlab's labels and pred_probs
    long_table.py      a long Parquet table: one row for each example and epoch
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.dynamics.exchange.allenai import epoch_files, import_allenai
    from trainmap.dynamics.exchange.allenai_export import export_epochs
    from trainmap.dynamics.exchange.allenai_lines import ORDER
    from trainmap.dynamics.exchange.long_table import export_long, trajectories
    from trainmap.dynamics.exchange.pred_probs import export_pred_probs, import_pred_probs, read_pred_probs
    from trainmap.dynamics.exchange.study_json import KEPT, export_study, import_study
    from trainmap.dynamics.exchange.whole_folder import kept_column
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "allenai": "epoch_files import_allenai",
            "allenai_export": "export_epochs",
            "allenai_lines": "ORDER",
            "long_table": "export_long trajectories",
            "pred_probs": "export_pred_probs import_pred_probs read_pred_probs",
            "study_json": "KEPT export_study import_study",
            "whole_folder": "kept_column",
        },
    )

# fmt: off
__all__ = [
    "KEPT", "ORDER", "epoch_files", "export_epochs", "export_long", "export_pred_probs", "export_study",
    "import_allenai", "import_pred_probs", "import_study", "kept_column", "read_pred_probs", "trajectories",
]
# fmt: on
