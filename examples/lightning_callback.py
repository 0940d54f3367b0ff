"""Lightning, recorded by a callback: neither the data nor training_step know of it. Digits, 15 epochs, a map.

python examples/lightning_callback.py
"""

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import trainmap as tm


class Digits(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def training_step(self, batch, number):
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


pl.seed_everything(0, verbose=False)
x, y = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y))

recorder = tm.LightningRecorder("lightning-dynamics", logits="net", overwrite=True)  # 1
trainer = pl.Trainer(
    max_epochs=15,
    callbacks=[recorder],  # 2
    accelerator="cpu",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
)
trainer.fit(Digits(), DataLoader(data, batch_size=32, shuffle=True))

datamap = tm.DataMap.from_dynamics(tm.Dynamics.open("lightning-dynamics"))
tm.plot_map(datamap, "lightning-map.png")
print(datamap.table["region"].value_counts(sort=True))
hardest = tm.hard_first("confidence", datamap.values("confidence"), datamap.ids)[:5]
print("hardest to learn:", hardest.tolist(), "labelled", y[hardest].tolist())
