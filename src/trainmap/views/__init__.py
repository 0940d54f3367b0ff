"""To look at: pictures, and tables for the terminal.

Its files, in reading order::

    map_layout.py    where the parts of a map's picture stand, by its width
    style.py         how pictures look
    scale.py         a score as an axis
    labels.py        where the names of regions stand
    map_words.py     what the axes of a map are called, by kind
    colour_legend.py what its colours mean
    plot.py          the picture of a map
    summary.py       what a recording, a map or a selection holds
    side_by_side.py  two maps, epochs, an audit
    forgets.py       what compression forgets
    model_table.py   the catalogue of networks
    kind_plot.py     which score finds which kind
    result_plots.py  pictures of an experiment's results
    client_dots.py   the clients of federations on one map
    amounts.py       how amounts are written for people: shares, FLOPs, seconds, bytes
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.views.amounts import show_bytes, show_flops, show_percent, show_seconds
    from trainmap.views.client_dots import Dot, DotPanel, plot_clients
    from trainmap.views.forgets import of_flips, of_measured, plot_flips
    from trainmap.views.kind_plot import plot_kinds
    from trainmap.views.model_table import show
    from trainmap.views.plot import check_picture, plot_map
    from trainmap.views.result_plots import (
        Panel,
        Point,
        Series,
        plot_costs,
        plot_labels,
        plot_members,
        plot_rounds,
        plot_sizes,
    )
    from trainmap.views.side_by_side import of_audit
    from trainmap.views.style import FAINT, INK, SOFT, STYLE
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "amounts": "show_bytes show_flops show_percent show_seconds",
            "client_dots": "Dot DotPanel plot_clients",
            "forgets": "of_flips of_measured plot_flips",
            "kind_plot": "plot_kinds",
            "model_table": "show",
            "plot": "check_picture plot_map",
            "result_plots": "Panel Point Series plot_costs plot_labels plot_members plot_rounds plot_sizes",
            "side_by_side": "of_audit",
            "style": "FAINT INK SOFT STYLE",
        },
    )

# fmt: off
__all__ = [
    "FAINT", "INK", "SOFT", "STYLE", "Dot", "DotPanel", "Panel", "Point", "Series", "check_picture", "of_audit",
    "of_flips", "of_measured", "plot_clients", "plot_costs", "plot_flips", "plot_kinds", "plot_labels", "plot_map",
    "plot_members", "plot_rounds", "plot_sizes", "show", "show_bytes", "show_flops", "show_percent", "show_seconds",
]
# fmt: on
