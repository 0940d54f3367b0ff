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
from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

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


def train(rows, epochs, seed, path=None):
    set_seed(seed)
    args = SFTConfig("sft-output", num_train_epochs=epochs, seed=seed, **how)
    trainer = SFTTrainer(LlamaForCausalLM(config), args, train_dataset=rows, processing_class=tokenizer)
    if path:
        tm.attach(trainer, path, overwrite=True)
    trainer.train()
    prompts = tokenizer([f"{a}+{b}=" for a in range(10) for b in range(10)], return_tensors="pt", padding=True)
    with torch.no_grad():
        said = (
            trainer.accelerator.unwrap_model(trainer.model)
            .eval()
            .generate(prompts.input_ids, max_new_tokens=3, do_sample=False)
        )
    answers = tokenizer.batch_decode(said[:, 4:], skip_special_tokens=True)
    return np.mean([text.replace(" ", "") == str(a + b) for text, (a, b) in zip(answers, np.ndindex(10, 10))])


found = {"all": [], "random half": [], "loss fell most": []}
for seed in range(3):
    generator = np.random.default_rng(seed)
    pairs = generator.integers(0, 10, (768, 2))
    answers = np.where(generator.random(768) < 0.4, generator.integers(0, 19, 768), pairs.sum(axis=1))
    rows = [{"prompt": f"{a}+{b}=", "completion": str(c)} for (a, b), c in zip(pairs, answers)]
    data = tm.with_ids(datasets.Dataset.from_list(rows))
    found["all"].append(train(data, 6, seed, "sft-dynamics"))
    datamap = tm.DataMap.from_dynamics(tm.Dynamics.open("sft-dynamics"))
    fell = datamap.ids[np.argsort(-datamap.values("loss_drop"))[:384]]
    drawn = generator.choice(768, 384, replace=False)
    for name, ids in (("loss fell most", fell), ("random half", drawn)):
        right = (pairs[ids].sum(axis=1) == answers[ids]).mean()
        print(f"seed {seed}, {name}: {right:.0%} of the answers trained on are right")
        found[name].append(train(data.select(ids), 12, seed))
tm.plot_map(datamap, "sft-map.png")
for name, values in found.items():
    gain = np.subtract(values, found["random half"])
    told = [f"{np.mean(v):+.2f} ± {4.303 * np.std(v, ddof=1) / 3**0.5:.2f}" for v in (values, gain)]  # 95 %, n = 3
    print(f"{name:15} {told[0]} of 100 sums right, {told[1]} against the random half")
