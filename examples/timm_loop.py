"""timm: its loaders are torch's, so ``tm.with_ids(loader)`` names their batches.

    pip install 'trainmap[plot]' timm scikit-learn
    python examples/timm_loop.py

Handwritten digits as pictures, a tiny residual network of timm, its own transforms and optimiser, two epochs; half a
minute. Prints what the map holds and leaves ``map.png``.
"""

import timm
import timm.data
import timm.optim
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch.utils.data import Dataset

import trainmap as tm


class Digits(Dataset):
    """Pictures; timm puts its transform into ``transform``."""

    def __init__(self, count):
        x, y = load_digits(return_X_y=True)
        self.x, self.y, self.transform = (x[:count].reshape(-1, 8, 8) * 15).astype("uint8"), y[:count].tolist(), None

    def __len__(self):
        return len(self.y)

    def __getitem__(self, place):
        return self.transform(Image.fromarray(self.x[place]).convert("RGB")), self.y[place]


def main():
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=10)
    loader = timm.data.create_loader(
        Digits(600),
        input_size=(3, 32, 32),
        batch_size=32,
        is_training=True,
        use_prefetcher=False,
        num_workers=0,
        hflip=0,
    )
    optimizer = timm.optim.create_optimizer_v2(model, opt="adamw", lr=3e-3)
    with tm.Recorder("dynamics", classes=10, overwrite=True, on_error="warn") as recorder:
        for _ in range(2):
            for ids, x, y in tm.with_ids(loader):
                logits = model(x)
                torch.nn.functional.cross_entropy(logits, y).backward()
                optimizer.step()
                optimizer.zero_grad()
                recorder.update(ids, logits, y)
            recorder.end_epoch()
    datamap = tm.DataMap.from_dynamics(tm.Dynamics.open("dynamics"))
    print(datamap)
    tm.plot_map(datamap, "map.png")


if __name__ == "__main__":
    main()
