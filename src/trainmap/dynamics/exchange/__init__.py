"""To and from other tools' formats. One file for each idea; docs/exchange.md says what survives a round trip.

    folder.py    a folder that appears whole or not at all; how an importer writes dynamics
    allenai.py   training_dynamics/dynamics_epoch_N.jsonl of allenai/cartography
    study.py     *_training_dynamics.json of timohromadka/L46_datamaps
    arrays.py    cleanlab's labels and pred_probs
    tables.py    a long Parquet table: one row for each example and epoch

What needs scores (td_metrics.jsonl, columns for datasets, FiftyOne, Spotlight) is in ``trainmap.maps.exchange``.
"""
