"""Names that the pages of 0.1 gave still import, with a warning that says where they are now."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from trainmap.moved import MOVED

ROOT = Path(__file__).parent.parent

NAMED = {  # what the pages of 0.1 named: module -> names
    "trainmap.cells": "from_cell",
    "trainmap.dynamics.exchange.allenai": "import_allenai",
    "trainmap.dynamics.exchange.arrays": "import_pred_probs pred_probs",
    "trainmap.dynamics.exchange.study": "export_study import_study",
    "trainmap.dynamics.exchange.tables": "export_long",
    "trainmap.experiments.statistics": "Difference interval paired_difference",
    "trainmap.files": "reading",
    "trainmap.limits": "",
    "trainmap.maps.audit": "audit audit_threshold_samples",
    "trainmap.maps.averages": "aum el2n entropy loss",
    "trainmap.maps.cartography": "aleatoric confidence slope threshold_closeness variability",
    "trainmap.maps.events": "correctness first_learned forgetting forgetting_time learning_time",
    "trainmap.maps.exchange": "add_columns export_allenai export_fiftyone export_spotlight",
    "trainmap.maps.flips": "",
    "trainmap.maps.from_stats": "",
    "trainmap.maps.regions": "assign check_fraction check_rule deepest_first depth overlap unclear",
    "trainmap.maps.scores": "SCORES Score hard_end hard_first score",
    "trainmap.maps.second_split": "second_split",
    "trainmap.maps.stability": "Convergence agreement_by_epoch agreement_matrix converged earlier intervals",
    "trainmap.maps.suspects": "Audit",
    "trainmap.maps.thresholds": "Thresholds by_class same_for_all told warnings_of",
    "trainmap.maps.trajectories": "Clusters cluster trajectories",
    "trainmap.maps.windows": "dual dyn_unc sliding tdds",
    "trainmap.selection.auto": "Advice auto drawn read_map weighed",
    "trainmap.selection.coverage": (
        "band beta beta_parameters ccs direction dual_beta log_beta s2l teacher_loss weighted_sample"
    ),
    "trainmap.selection.diversity": "d2 moderate neighbour_graph",
    "trainmap.selection.pool": "Pool",
    "trainmap.selection.quotas": "at_least equal first_by_class proportional smallest_first within_class",
    "trainmap.selection.repeated": "RepeatedAuto",
    "trainmap.selection.samplers": "FilteredBatches ScheduleSampler",
    "trainmap.selection.schedule": (
        "InfoBatch MapGuided Memory OrderedLoss RepeatedRandom Schedule Visit check_schedule gold_loss has_learned "
        "settings_of"
    ),
    "trainmap.selection.spec": "Part Plan check_size parse",
    "trainmap.selection.strategies": "Strategy check_epochs check_request choose named usable",
    "trainmap.training.blurs": "along_a_line clipped_zoom defocus disk glass motion zoom",
    "trainmap.training.boosting": "",
    "trainmap.training.budget": "TrainingCost break_even inference_flops training_cost training_flops",
    "trainmap.training.compress": "Measured finetune inputs_batch measure runnable uncompressed",
    "trainmap.training.compressed_files": "load_weights save",
    "trainmap.training.corruptions": (
        "CORRUPTIONS Corruption contrast corrupt elastic gaussian_noise impulse_noise jpeg pixelate shot_noise to_bytes"
    ),
    "trainmap.training.counterfactual": "load_counterfactual",
    "trainmap.training.data": "load_splits",
    "trainmap.training.distillation": "check_temperature dist dkd hinton per_example standardised",
    "trainmap.training.evaluate": "evaluate predict",
    "trainmap.training.features": "features_of",
    "trainmap.training.fit": "Distillation default_recipe fit",
    "trainmap.training.gradients": "grand vog",
    "trainmap.training.losses": "TeacherLoss cross_entropy",
    "trainmap.training.models": "build",
    "trainmap.training.octave": "OctaveConv2d OctaveNorm OctaveResNet OctaveResidual pool relu split upsample",
    "trainmap.training.ood": "Detection detect energy entropy max_logit max_softmax separation",
    "trainmap.training.proxy": "ProxyFilter",
    "trainmap.training.pruning": "classifier prune_channels",
    "trainmap.training.quantization": "lower program_of quantize train_quantized",
    "trainmap.training.shifts": "Row Shift as_mnist evaluate_everywhere load_shift mean_corruption_error usps",
    "trainmap.training.sparsity": "cubic_sparsity fix_zeros free_zeros sparsify zero_smallest",
    "trainmap.training.structure": "feature_matching lsp",
    "trainmap.training.teacher": "teacher_logits",
    "trainmap.training.teaching": "Distillation Settled column name_of settled",
    "trainmap.training.weather": "brightness fog frost grey plasma snow",
    "trainmap.views.style": "FAINT INK SOFT STYLE",
}


def changed() -> str:
    """What CHANGELOG says of 0.2.0 under "Changed"."""
    release = (ROOT / "CHANGELOG.md").read_text().split("\n## 0.1.0")[0].split("\n## 0.2.0")[1]
    return release.split("\n### Changed")[1].split("\n### ")[0]


@pytest.mark.parametrize("module", NAMED)
def test_a_name_that_the_pages_of_0_1_gave_still_imports_or_its_change_is_told(module: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = import_module(module)
        gone = [name for name in NAMED[module].split() if not hasattr(found, name)]
    untold = [name for name in gone if f"`{module}.{name}`" not in changed()]
    assert not untold, f"{module} had {untold}: keep them (trainmap.moved), or tell of them in CHANGELOG under Changed"


def test_an_old_name_warns_the_one_who_wrote_it_with_the_new_one(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text("import os\nfrom trainmap.maps.scores import SCORES\nassert SCORES\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert f"{script}:2: DeprecationWarning: trainmap.maps.scores moved to trainmap.scores.table" in done.stderr
    done = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True)
    assert done.returncode == 1


def test_what_0_1_pickled_opens_and_is_what_it_is_now() -> None:
    from trainmap.schedules import InfoBatch

    sys.modules.pop("trainmap.selection.schedule", None)
    with pytest.warns(DeprecationWarning, match=r"trainmap\.selection\.schedule moved to trainmap\.schedules"):
        opened = pickle.loads(b"ctrainmap.selection.schedule\nInfoBatch\n.")
    assert opened is InfoBatch
    assert b"trainmap.schedules" in pickle.dumps(InfoBatch)


def test_names_that_never_were_are_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'trainmap\.maps\.scoring'"):
        import_module("trainmap.maps.scoring")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = import_module("trainmap.maps.scores")
    with pytest.raises(AttributeError, match=r"module 'trainmap\.maps\.scores' has no attribute 'SCORE'"):
        _ = old.SCORE
    assert "SCORES" in dir(old)
    assert not hasattr(old, "__file__")


def test_every_move_leads_from_where_no_file_is_to_where_one_is_and_is_told() -> None:
    told = changed()
    for old, new in MOVED.items():
        path = ROOT / "src" / "trainmap" / old.replace(".", "/")
        assert not path.with_suffix(".py").exists(), f"{old} did not move"
        assert not path.exists(), f"{old} did not move"
        for home in new.split():
            assert find_spec(f"trainmap.{home}") is not None, f"{old} moved to {home}, which is not there"
        assert f"`{old}`" in told, f"CHANGELOG says under Changed where {old} went"
