"""A loop with Accelerate, with gradient accumulation and in as many processes as it is started with.

python examples/accelerate_loop.py
accelerate launch --cpu --num_processes 2 examples/accelerate_loop.py
"""

import torch
from accelerate import Accelerator
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import trainmap as tm

torch.manual_seed(0)
x, y = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y))
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
model, optimizer, loader = accelerator.prepare(
    model, torch.optim.SGD(model.parameters(), lr=0.2), DataLoader(data, batch_size=32, shuffle=True)
)
loader = tm.with_ids(loader)  # the dataset is as it was: the ids come beside the batch

with tm.Recorder("accelerate-dynamics", classes=10, on_error="warn", overwrite=True) as recorder:
    for _ in range(15):
        for ids, images, labels in loader:
            with accelerator.accumulate(model):
                logits = model(images)
                accelerator.backward(nn.functional.cross_entropy(logits, labels))
                optimizer.step()
                optimizer.zero_grad()
                recorder.update(ids, logits, labels)
        recorder.end_epoch()

accelerator.wait_for_everyone()
if accelerator.is_main_process:
    dynamics = tm.Dynamics.open("accelerate-dynamics")  # of several processes: their parts, joined by id
    datamap = tm.DataMap.from_dynamics(dynamics)
    tm.plot_map(datamap, "accelerate-map.png")
    print(f"{len(dynamics.ids)} examples x {dynamics.epochs} epochs from {accelerator.num_processes} processes")
    print(datamap.table["region"].value_counts(sort=True))
accelerator.end_training()
