"""attach on what trains language models: each example's loss over its own completion, each prompt's rewards."""

from __future__ import annotations

import subprocess
import sys
from ast import literal_eval
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from contract import by_id
from tiny_language import speaker, sums, tokenizer
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

import trainmap as tm
from trainmap.errors import TrainmapError
from trainmap.integrations.grpo_rewards import by_prompt, columns_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*pin_memory"),
    pytest.mark.filterwarnings("ignore::FutureWarning:trl"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*label_smoothing_factor:FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:trl"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
N = 13
IDS = [f"sum {number}" for number in range(N)]


def told(rows: list[dict[str, str]]) -> Any:
    return tm.with_ids(datasets.Dataset.from_list(rows), IDS[: len(rows)])


def arguments(folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "output_dir": str(folder / "kept"),
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 0.0,
        "save_strategy": "no",
        "report_to": "none",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "activation_checkpointing": False,
        **more,
    }


def losses(model: Any, rows: list[dict[str, str]]) -> dict[str, float]:
    """id -> mean loss over the tokens of the completion and its end, one example at a time."""
    words, found = tokenizer(), {}
    model.eval()
    for name, row in zip(IDS, rows, strict=False):
        prompt, whole = words(row["prompt"])["input_ids"], words(row["prompt"] + row["completion"])["input_ids"]
        tokens = torch.tensor([[*whole, words.eos_token_id]])
        with torch.no_grad():
            p = model(tokens).logits.log_softmax(-1)[0, :-1].gather(1, tokens[0, 1:, None])[:, 0]
        found[name] = -float(p[len(prompt) - 1 :].mean())
    return found


WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulation": {"gradient_accumulation_steps": 2},
    "without padding": {"padding_free": True},
    "shuffled before": {"shuffle_dataset": True},
    "label smoothing": {"label_smoothing_factor": 0.1},
    "checkpointing": {"activation_checkpointing": True},
}


@pytest.mark.parametrize("way", WAYS)
def test_each_example_has_the_loss_of_its_own_completion(way: str, tmp_path: Path) -> None:
    model, rows = speaker(), sums(N)
    config = SFTConfig(**arguments(tmp_path, max_length=None, **WAYS[way]))
    trainer = SFTTrainer(model, config, train_dataset=told(rows), processing_class=tokenizer())
    tm.attach(trainer, tmp_path / "dynamics")
    if way == "plain":
        tm.attach(trainer, tmp_path / "sweeps", sweep=True, sample=5)
    trainer.train()
    dynamics = tm.Dynamics.open(tmp_path / "dynamics")
    wanted = losses(model, rows)
    assert (dynamics.kind, dynamics.epochs) == ("tokens", 2)
    for epoch in range(2):
        assert by_id(dynamics, epoch, "loss") == pytest.approx(wanted, rel=1e-4)
    tokens = by_id(dynamics, 0, "tokens")
    assert tokens == {name: len(row["completion"]) + 1 for name, row in zip(IDS, rows, strict=True)}
    if way == "plain":
        datamap = tm.DataMap.from_dynamics(dynamics)  # of log-probabilities: no correctness
        assert np.isnan(datamap.values("correctness")).all()
        assert datamap.values("loss_drop") == pytest.approx(0, abs=1e-6)
        assert tm.plot_map(datamap, tmp_path / "map.png").exists()
        swept = by_id(tm.Dynamics.open(tmp_path / "sweeps"), 1, "loss")
        assert len(swept) == 5
        assert swept == pytest.approx({name: wanted[name] for name in swept}, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["sft", "grpo"])
def test_two_processes_record_what_one_would(what: str, tmp_path: Path) -> None:
    job = [str(Path(__file__).parent / "language_job.py"), what, str(tmp_path)]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *job]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    dynamics = tm.Dynamics.open(tmp_path / "dynamics")
    assert (dynamics.epochs, dynamics.examples) == (2, N)
    if what == "sft":
        wanted = literal_eval((tmp_path / "losses.txt").read_text())
        for recording in (dynamics, tm.Dynamics.open(tmp_path / "sweeps")):
            assert by_id(recording, 1, "loss") == pytest.approx(wanted, rel=1e-4)
    else:  # the sampler drops the prompt of a batch that is not full, another one in each epoch
        lengths = {name: float(len(row["prompt"])) for name, row in zip(IDS, sums(N), strict=True)}
        found = by_id(dynamics, 0, "reward")
        assert sum(np.isnan(reward) for reward in found.values()) == 1
        assert {name: reward for name, reward in found.items() if not np.isnan(reward)}.items() <= lengths.items()


def test_where_ids_would_be_lost_attach_refuses(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_list(sums(N))
    plain: Any = SFTTrainer(
        speaker(), SFTConfig(**arguments(tmp_path, max_length=None)), train_dataset=rows, processing_class=tokenizer()
    )
    with pytest.raises(
        TrainmapError, match=r"no column 'id', and SFTTrainer may have filtered and shuffled it.*with_ids"
    ):
        tm.attach(plain, tmp_path / "x")
    plain.args.packing = True
    with pytest.raises(TrainmapError, match="several examples share a row and their ids are gone; say packing=False"):
        tm.attach(plain, tmp_path / "x")


def test_numbers_of_prompts_by_hand() -> None:
    rewards = np.array([[1.0, 0.0], [0.0, 0.5], [1.0, np.nan], [1.0, 0.5], [0.0, np.nan]])
    ids, numbers = by_prompt(["a", "b", "a", "b", "c"], rewards, np.array([1.0, 2.0]), ["x", "y"], 1.0)
    assert ids.tolist() == ["a", "b", "c"]
    assert numbers["reward"].tolist() == [1.0, 1.5, 0.0]
    assert numbers["reward_std"].tolist() == [0.0, 0.5, 0.0]
    assert numbers["pass_rate"].tolist() == [1.0, 1.0, 0.0]
    assert numbers["x"].tolist() == [1.0, 0.5, 0.0]
    np.testing.assert_array_equal(numbers["y"], [0.0, 0.5, np.nan])  # of c the second function said nothing
    _, numbers = by_prompt(["a", "a", "b"], np.array([[np.nan], [1.0], [np.nan]]), np.ones(1), ["x"], 1.0)
    np.testing.assert_array_equal(numbers["reward"], [1.0, np.nan])  # a generation without a reward has not failed
    np.testing.assert_array_equal(numbers["pass_rate"], [1.0, np.nan])
    ids, numbers = by_prompt([7, 3, 7], np.array([[0.0], [1.0], [1.0]]), np.ones(1), ["x"], 1.0)
    assert ids.tolist() == [7, 3]
    assert numbers["pass_rate"].tolist() == [0.5, 1.0]
    assert set(numbers) == {"reward", "reward_std", "pass_rate"}
    assert columns_of(["right", "std", "a-b", "a b"]) == ["reward_right", "reward_std_1", "reward_a_b", "reward_a_b_3"]


@pytest.mark.parametrize("signals", [None, ["reward", "pass_rate"]])
def test_prompts_that_are_for_some_functions_alone_are_told_or_recorded_by_what_all_have(
    signals: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def digits(completions: list[str], id: list[str], **_: Any) -> list[float | None]:  # noqa: A002
        return [None if name in IDS[:3] else 1.0 for name in id]

    def brief(completions: list[str], id: list[str], **_: Any) -> list[float | None]:  # noqa: A002
        return [0.5 if name in IDS[:3] else None for name in id]

    config = GRPOConfig(
        **arguments(tmp_path, per_device_train_batch_size=8), num_generations=4, max_completion_length=4
    )
    rows = [{"prompt": row["prompt"]} for row in sums(6)]
    trainer = GRPOTrainer(
        speaker(), [digits, brief], args=config, train_dataset=told(rows), processing_class=tokenizer()
    )
    attachment: Any = tm.attach(trainer, tmp_path / "dynamics", signals=signals)
    trainer.train()
    if signals is None:
        assert attachment.intake.refused.examples == 12
        assert "prompts have no 'reward_" in caplog.text
        assert "signals=['reward', 'pass_rate']" in caplog.text
        return
    dynamics = tm.Dynamics.open(tmp_path / "dynamics")
    assert by_id(dynamics, 1, "reward") == {name: 0.5 if name in IDS[:3] else 1.0 for name in IDS[:6]}
    assert by_id(dynamics, 1, "pass_rate") == {name: 0.0 if name in IDS[:3] else 1.0 for name in IDS[:6]}


@pytest.mark.parametrize("functions", [1, 2])
def test_each_prompt_has_what_its_generations_earned(functions: int, tmp_path: Path) -> None:
    seen: list[tuple[int, str, float, float]] = []

    def digits(completions: list[str], id: list[str], trainer_state: Any, **_: Any) -> list[float]:  # noqa: A002
        earned = [float(len(set(text))) / 4 for text in completions]
        short = [float(len(text) < 3) for text in completions]
        epoch = int(trainer_state.epoch or 0)
        seen.extend((epoch, name, one, two) for name, one, two in zip(id, earned, short, strict=True))
        return earned

    def brief(completions: list[str], **_: Any) -> list[float]:
        return [float(len(text) < 3) for text in completions]

    config = GRPOConfig(
        **arguments(tmp_path, per_device_train_batch_size=8, learning_rate=1e-3),
        num_generations=4,
        max_completion_length=4,
        reward_weights=[1.0, 0.5][:functions],
    )
    rows = [{"prompt": row["prompt"]} for row in sums(6)]
    trainer = GRPOTrainer(
        speaker(), [digits, brief][:functions], args=config, train_dataset=told(rows), processing_class=tokenizer()
    )
    attachment = tm.attach(trainer, tmp_path / "dynamics", passes=0.75)
    trainer.train()
    dynamics = tm.Dynamics.open(tmp_path / "dynamics")
    assert (dynamics.kind, dynamics.epochs) == ("numbers", 2)
    assert dynamics.ids.tolist() == sorted(IDS[:6])
    for epoch in range(2):
        for name, reward in by_id(dynamics, epoch, "reward").items():
            of = [
                one + (0.5 * two if functions == 2 else 0)
                for when, who, one, two in seen
                if (when, who) == (epoch, name)
            ]
            assert len(of) == 4
            assert reward == pytest.approx(np.mean(of))
            assert by_id(dynamics, epoch, "reward_std")[name] == pytest.approx(np.std(of), abs=1e-6)
            assert by_id(dynamics, epoch, "pass_rate")[name] == pytest.approx(np.mean(np.array(of) >= 0.75))
            if functions == 2:
                short = [two for when, who, _, two in seen if (when, who) == (epoch, name)]
                assert by_id(dynamics, epoch, "reward_brief")[name] == pytest.approx(np.mean(short))
    attachment.detach()
    assert "_calculate_rewards" not in vars(trainer)
    with pytest.raises(TrainmapError, match="cannot be swept"):
        tm.attach(trainer, tmp_path / "x", sweep=True)
