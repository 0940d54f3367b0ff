"""Which score finds which kind of example? Where the data know, a task for every run of every teacher."""

from __future__ import annotations

from trainmap.data.synthetic import is_synthetic
from trainmap.experiments.plan.draft import Draft
from trainmap.experiments.tasks.kinds_found import KindsFound


def plan_kinds(draft: Draft) -> None:
    """Add the comparison of every teacher's scores with the kinds, on data that know them."""
    if not is_synthetic(draft.name):
        return
    data = draft.experiment.data
    for field, told in (("label_noise", data.label_noise), ("labels", data.labels)):
        if told:
            instead = f"write {draft.name}{',' if ':' in draft.name else ':'}wrong=0.1 in place of it"
            raise draft.variant.wrong(
                ("data", field), f"synthetic data know which of their labels are wrong; {instead}"
            )
    for name, runs in draft.teachers.items():
        for seed, teacher in runs.items():
            draft.add(KindsFound(teacher=teacher), f"kinds found by {name} on {draft.splits.train.name}, seed {seed}")
