"""TRL's SFTTrainer, recorded by one line: sums of two digits, 40 % of whose answers are wrong, and what to train on.

The loss of a right answer falls while a model learns, that of a wrong one hardly does. So: train on all, record, keep
the half whose loss fell most; beside it a random half, and all; each from the same start, for as many steps.

python examples/sft.py
"""

import logging

import datasets
import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed
from trl import SFTConfig, SFTTrainer

import trainmap as tm

logging.disable(logging.WARNING)
datasets.disable_progress_bars()
signs = ["<pad>", "<eos>", *"0123456789+="]
words = Tokenizer(models.WordLevel({sign: number for number, sign in enumerate(signs)}, unk_token="="))
words.pre_tokenizer = pre_tokenizers.Split("", "isolated")
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")
config = LlamaConfig(vocab_size=len(signs), hidden_size=64, intermediate_size=128, num_hidden_layers=1,
                     num_attention_heads=4, max_position_embeddings=16, pad_token_id=0, eos_token_id=1)  # fmt: skip
how = {"learning_rate": 3e-3, "per_device_train_batch_size": 32, "max_length": None, "save_strategy": "no",
       "report_to": "none", "disable_tqdm": True, "use_cpu": True, "bf16": False, "logging_strategy": "no",
       "activation_checkpointing": False, "lr_scheduler_type": "constant"}  # fmt: skip


def train(rows, steps, seed, path=None):
    set_seed(seed)
    args = SFTConfig("sft-output", max_steps=steps, seed=seed, **how)
    trainer = SFTTrainer(LlamaForCausalLM(config), args, train_dataset=rows, processing_class=tokenizer)
    if path:
        tm.attach(trainer, path, overwrite=True)
    trainer.train()
    prompts = tokenizer([f"{a}+{b}=" for a in range(10) for b in range(10)], return_tensors="pt", padding=True)
    with torch.no_grad():
        said = trainer.model.eval().generate(prompts.input_ids, max_new_tokens=3, do_sample=False)
    answers = tokenizer.batch_decode(said[:, 4:], skip_special_tokens=True)
    return np.mean([text.replace(" ", "") == str(a + b) for text, (a, b) in zip(answers, np.ndindex(10, 10))])


found = {"all": [], "random half": [], "loss fell most": []}
for seed in range(3):
    generator = np.random.default_rng(seed)
    pairs = generator.integers(0, 10, (800, 2))
    wrong = generator.random(800) < 0.4
    answers = np.where(wrong, generator.integers(0, 19, 800), pairs.sum(axis=1))
    rows = [{"prompt": f"{a}+{b}=", "completion": str(c)} for (a, b), c in zip(pairs, answers)]
    data = tm.with_ids(datasets.Dataset.from_list(rows))
    found["all"].append(train(data, 150, seed, "sft-dynamics"))
    dynamics = tm.Dynamics.open("sft-dynamics")
    drop = dynamics.column(0, "loss") - dynamics.column(dynamics.epochs - 2, "loss")
    chosen = dynamics.ids[np.argsort(-drop)[:400]]
    print("share of right answers among chosen", (pairs[chosen].sum(axis=1) == answers[chosen]).mean(), dynamics.epochs)
    found["loss fell most"].append(train(data.select(chosen), 150, seed))
    found["random half"].append(train(data.select(generator.choice(800, 400, replace=False)), 150, seed))
for name, values in found.items():
    half = 4.303 * np.std(values, ddof=1) / 3**0.5
    print(f"{name:15} {np.mean(values):.2f} ± {half:.2f} of 100 sums right (n = 3)", values)
