"""The explorer: a map in a browser, as one file or in a notebook, with the examples behind its dots.

Its files, in reading order::

    encoded.py          pixels, samples and files as what a browser shows
    shown.py            one example as a person sees it
    example_sources.py  where the examples are
    review_log.py       what a person decided about labels
    replay.py           the map as it was after each epoch
    exploration.py      a map with all that a page can show of it
    answers.py          what a page asks and what it is answered
    page_script.py      the page's script in one text
    web_server.py       the explorer in a browser
    one_file.py         the explorer as one file
    notebook.py         the explorer in a notebook
    explored.py         explore: all of these behind one call
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.explorer.answers import Answer, answer
    from trainmap.explorer.encoded import SVG, Medium, small
    from trainmap.explorer.example_sources import Examples, examples_of
    from trainmap.explorer.exploration import Exploration
    from trainmap.explorer.explored import Explorer, explore, map_of_card
    from trainmap.explorer.notebook import notebook_view
    from trainmap.explorer.one_file import write_page
    from trainmap.explorer.review_log import Decision, Review, relabel_sheet, write_sheet
    from trainmap.explorer.shown import Shown, to_shown
    from trainmap.explorer.web_server import make_app, serve, serving
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "answers": "Answer answer",
            "encoded": "SVG Medium small",
            "example_sources": "Examples examples_of",
            "exploration": "Exploration",
            "explored": "Explorer explore map_of_card",
            "notebook": "notebook_view",
            "one_file": "write_page",
            "review_log": "Decision Review relabel_sheet write_sheet",
            "web_server": "make_app serve serving",
            "shown": "Shown to_shown",
        },
    )

# fmt: off
__all__ = [
    "SVG", "Answer", "Decision", "Examples", "Exploration", "Explorer", "Medium", "Review", "Shown", "answer",
    "examples_of", "explore", "make_app", "map_of_card", "notebook_view", "relabel_sheet", "serve", "serving", "small",
    "to_shown",
    "write_page", "write_sheet",
]
# fmt: on
