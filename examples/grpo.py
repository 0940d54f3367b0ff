"""TRL's GRPOTrainer, recorded by one line: what each prompt's generations earn, and which prompts to go on with.

A prompt that is always right, or never, teaches GRPO nothing: all its generations earn the same. So: one pass over all
prompts, recorded; then train on the quarter whose rewards vary most, beside a random quarter, for as many steps.

python examples/grpo.py
"""

import copy
import logging

import datasets
import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed
from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportPrivateImportUsage]

import trainmap as tm

logging.disable(logging.WARNING)
signs = ["<pad>", "<eos>", *"0123456789+="]
words = Tokenizer(models.WordLevel({sign: number for number, sign in enumerate(signs)}, unk_token="="))
words.pre_tokenizer = pre_tokenizers.Split("", "isolated")
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")
config = LlamaConfig(vocab_size=len(signs), hidden_size=48, intermediate_size=96, num_hidden_layers=1,
                     num_attention_heads=4, max_position_embeddings=16, pad_token_id=0, eos_token_id=1)  # fmt: skip
sums = [f"{a}+{b}=" for a in range(10) for b in range(10)]
answer = {text: str(int(text[0]) + int(text[2])) for text in sums}
prompts = tm.with_ids(datasets.Dataset.from_dict({"prompt": sums}))


def right(prompts, completions, **_):
    return [float(text.replace(" ", "") == answer[prompt]) for prompt, text in zip(prompts, completions)]


def learned_in_part(seed, steps=250):
    set_seed(seed)
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    tokens = tokenizer([f"{text}{answer[text]}" for text in sums], padding=True, return_tensors="pt").input_ids
    tokens = torch.cat([tokens, torch.zeros_like(tokens[:, :1])], dim=1)
    tokens[torch.arange(100), (tokens > 0).sum(1)] = 1
    labels = tokens.masked_fill((tokens == 0) | (torch.arange(tokens.shape[1]) < 4), -100)
    taught = torch.randperm(100)[:50]
    for _ in range(steps):
        rows = taught[torch.randint(0, 50, (32,))]
        model(tokens[rows], labels=labels[rows]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def train(model, rows, seed, steps, rate, path=None):
    args = GRPOConfig("grpo-output", max_steps=steps, seed=seed, learning_rate=rate, lr_scheduler_type="constant",
                      per_device_train_batch_size=80, num_generations=8, max_completion_length=3, save_strategy="no",
                      report_to="none", disable_tqdm=True, use_cpu=True, bf16=False, logging_strategy="no",
                      activation_checkpointing=False)  # fmt: skip
    trainer = GRPOTrainer(model, right, args=args, train_dataset=rows, processing_class=tokenizer)
    if path:
        tm.attach(trainer, path, overwrite=True)
    trainer.train()
    with torch.no_grad():
        ids = tokenizer(sums, return_tensors="pt").input_ids
        said = trainer.model.eval().generate(ids, max_new_tokens=3, do_sample=False)
    return np.mean(right(sums, tokenizer.batch_decode(said[:, 4:], skip_special_tokens=True)))


found = {"before": [], "random quarter": [], "varied most": []}
for seed in range(3):
    base = learned_in_part(seed)
    found["before"].append(
        train(copy.deepcopy(base), prompts, seed, 10, 1e-9, "grpo-dynamics")
    )  # looks, learns nothing
    datamap = tm.DataMap.from_dynamics(tm.Dynamics.open("grpo-dynamics"))
    spread = datamap.values("reward_std_mean")
    print(f"seed {seed}: {(spread > 0).sum()} of 100 prompts earn now this, now that")
    varied = datamap.ids[np.argsort(-spread, kind="stable")[:25]]
    drawn = np.random.default_rng(seed).choice(100, 25, replace=False)
    for name, ids in (("varied most", varied), ("random quarter", drawn)):
        found[name].append(train(copy.deepcopy(base), prompts.select(ids), seed, 40, 5e-4))
tm.plot_map(datamap, "grpo-map.png", x="reward_std_mean", colour="pass_rate_mean")
for name, values in found.items():
    gain = np.subtract(values, found["random quarter"])
    told = [f"{np.mean(v):+.2f} ± {4.303 * np.std(v, ddof=1) / 3**0.5:.2f}" for v in (values, gain)]  # 95 %, n = 3
    print(f"{name:15} {told[0]} of 100 sums right, {told[1]} against the random quarter")
