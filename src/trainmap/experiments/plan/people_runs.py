"""Do people find the same examples hard? Teacher → map of the test data beside people's judgement, and the tables.

The test data are passive probes: the teacher records them after each epoch and never learns from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainmap.errors import TrainmapError
from trainmap.experiments.plan.draft import Draft
from trainmap.experiments.tasks.people import People, check_counts, counts_path, fingerprint, read_counts
from trainmap.files import is_file


def plan_people(draft: Draft) -> None:
    """Add the comparison with people for every run of every teacher."""
    human, wrong = draft.experiment.human, draft.variant.wrong
    if human is None:
        return
    for at, section in enumerate(draft.experiment.teachers):
        if section.record == "held-out":
            message = "people are compared with one network that records the test data; write record: sweep or train"
            raise wrong(("teachers", at, "record"), message)
    if not draft.teachers:
        raise wrong(("human",), "people are compared with a teacher; add one under teachers")
    teachers = [one for runs in draft.teachers.values() for one in runs.values()]
    shortest = min(teachers, key=lambda one: one.least)
    draft.check_scores(("human", "scores"), human.scores, shortest.least, teachers, shortest.stops)
    path = counts_path(human.counts, draft.experiment.data.root)
    if draft.graph.outlines and not is_file(path):
        draft.graph.lacks(human.counts)
        told = ""
    else:
        told = _checked(draft, path)
    for name, runs in draft.teachers.items():
        for seed, teacher in runs.items():
            more: dict[str, Any] = {"top": human.top, "level": draft.experiment.level}
            task = People(teacher=teacher, counts=told, scores=tuple(human.scores), **more)
            title = f"people beside {name} on {draft.splits.train.name}, seed {seed}"
            draft.add(task, title, files={"counts": path})


def _checked(draft: Draft, path: Path) -> str:
    """The fingerprint of the judgements; they must be of the test data."""
    test = draft.splits.test
    try:
        counts = read_counts(path)
        if counts.shape != (len(test), test.classes):
            raise TrainmapError(
                f"counts must be ({len(test)}, {test.classes}), the test examples and classes of {test.name}, "
                f"got {counts.shape}"
            )
        check_counts(counts, test.y, test.name)
    except TrainmapError as error:
        raise draft.variant.wrong(("human", "counts"), error) from error
    return fingerprint(counts)
