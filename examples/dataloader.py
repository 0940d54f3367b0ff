"""A plain PyTorch loop that records itself by three lines: digits, 20 epochs, a map, and what the map says.

python examples/dataloader.py
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import trainmap as tm

torch.manual_seed(0)
x, y = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y))
loader = DataLoader(tm.with_ids(data), batch_size=32, shuffle=True)  # 1: the loader says who comes

model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

with tm.Recorder("digits-dynamics", classes=10, overwrite=True) as recorder:
    for _ in range(20):
        for ids, images, labels in loader:
            logits = model(images)
            nn.functional.cross_entropy(logits, labels).backward()
            optimizer.step()
            optimizer.zero_grad()
            recorder.update(ids, logits, labels)  # 2: each batch
        recorder.end_epoch()  # 3: each epoch

dynamics = tm.Dynamics.open("digits-dynamics")
datamap = tm.DataMap.from_dynamics(dynamics)
tm.plot_map(datamap, "digits-map.png")
hardest = tm.hard_first("confidence", datamap.values("confidence"), datamap.ids)[:5]
print(datamap.table["region"].value_counts(sort=True))
print("hardest to learn:", hardest.tolist(), "labelled", y[hardest].tolist())
chosen = tm.select(datamap, "33% ambiguous")
subset = chosen.subset(tm.with_ids(data))  # a dataset again: (id, image, label) of the chosen ones
print(f"{len(subset)} ambiguous examples to train on, the first is", subset[0][0])
