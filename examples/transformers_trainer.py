"""Transformers' Trainer, recorded by one line: a small BERT that reads digits row by row, as words of 17 shades.

python examples/transformers_trainer.py
"""

import datasets
import numpy as np
from sklearn.datasets import load_digits
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

import trainmap as tm

set_seed(0)
x, y = load_digits(return_X_y=True)
x, y = x[:900].astype(int), y[:900]
wrong = np.random.default_rng(0).choice(len(y), 45, replace=False)  # 5 % of the labels, to be found again
labels = y.copy()
labels[wrong] = (y[wrong] + 1 + np.random.default_rng(1).integers(0, 9, len(wrong))) % 10
data = datasets.Dataset.from_dict({"input_ids": x.tolist(), "labels": labels.tolist()})

config = BertConfig(
    vocab_size=17,
    hidden_size=48,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=96,
    max_position_embeddings=64,
    id2label={number: f"digit {number}" for number in range(10)},
)
trainer = Trainer(
    BertForSequenceClassification(config),
    TrainingArguments(
        "trainer-output",
        num_train_epochs=8,
        per_device_train_batch_size=16,
        learning_rate=3e-3,
        lr_scheduler_type="constant",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    ),
    train_dataset=data,
)
tm.attach(trainer, "trainer-dynamics", overwrite=True)  # the one line
trainer.train()

dynamics = tm.Dynamics.open("trainer-dynamics")
datamap = tm.DataMap.from_dynamics(dynamics)
tm.plot_map(datamap, "trainer-map.png")
suspects = tm.hard_first("confidence", datamap.values("confidence"), datamap.ids)[:45]
found = len(set(suspects.tolist()) & set(wrong.tolist()))
print(
    f"of the 45 least confident examples {found} are among the 45 whose label was made wrong ({45 / 900:.0%} by chance)"
)
