"""What stands before the snippets of docs/integrations.md: the frameworks themselves, on a few tiny examples."""

from __future__ import annotations

from collections.abc import Mapping

TRANSFORMERS = """
import shutil
import datasets
from tiny_language import speaker, sums, tokenizer as made
from transformers import LlamaConfig, LlamaForSequenceClassification, TrainingArguments
shutil.rmtree("dynamics")
datasets.disable_progress_bars()
tokenizer = made()
rows = sums(8)
quiet = dict(num_train_epochs=2, per_device_train_batch_size=4, save_strategy="no", report_to="none",
    logging_strategy="no", disable_tqdm=True, use_cpu=True)
args = TrainingArguments("kept", **quiet)
words = [{"input_ids": tokenizer(row["prompt"])["input_ids"], "labels": number % 2} for number, row in enumerate(rows)]
dataset = datasets.Dataset.from_list(words)
model = LlamaForSequenceClassification(LlamaConfig(vocab_size=20, hidden_size=8, intermediate_size=8,
    num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1, pad_token_id=0, num_labels=2))
"""

SFT = """
from trl import GRPOConfig, SFTConfig
shutil.rmtree("dynamics")
quiet |= dict(bf16=False, activation_checkpointing=False)
model, args = speaker(), SFTConfig("kept", max_length=None, **quiet)
dataset = datasets.Dataset.from_list(rows)
"""

GRPO = """
shutil.rmtree("dynamics")
args = GRPOConfig("kept", num_generations=2, max_completion_length=3, **quiet)
prompts = datasets.Dataset.from_list([{"prompt": row["prompt"]} for row in rows])
def reward(prompts, completions, **_):
    return [float(len(completion) > 2) for completion in completions]
"""

LIGHTNING = """
shutil.rmtree("dynamics")
import pytorch_lightning as pl
from torch.utils.data import DataLoader
class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = network()
    def training_step(self, batch, number):
        x, y = batch
        return loss(self.net(x), y)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
"""

KERAS = """
trainer.fit(Module(), DataLoader(Examples(100, ids=False), batch_size=25))
shutil.rmtree("dynamics")
monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "torch"))
import keras
x, y = arrays(100)
held = arrays(20)
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(10)])
model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
"""

JAX = """
shutil.rmtree("dynamics")
import jax
import optax
epochs, batches = 2, [(np.arange(100), *arrays(100))]
state = jax.numpy.zeros((8, 10))
@jax.jit
def train_step(state, x, y):
    def loss_of(state):
        logits = x @ state
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), logits
    (_, logits), gradient = jax.value_and_grad(loss_of, has_aux=True)(state)
    return state - 0.1 * gradient, logits
"""

BEFORE: Mapping[str, Mapping[int, str]] = {
    "integrations.md": {
        0: """
import os
import numpy as np
import torch
from tiny_training import Examples, arrays, loader as made_loader, network
dataset = Examples(100, ids=False)
""",
        1: "loader = made_loader(100, ids=False)",
        2: """
from accelerate import Accelerator
loader, epochs, model, loss = made_loader(100, ids=False), 2, network(), torch.nn.CrossEntropyLoss()
accelerator = Accelerator(cpu=True)
""",
        3: TRANSFORMERS,
        4: SFT,
        5: GRPO,
        6: LIGHTNING,
        7: KERAS,
        8: JAX,
        11: """
shutil.rmtree("dynamics")
x = (x - x.mean(axis=0)) / x.std(axis=0)
""",
    }
}
