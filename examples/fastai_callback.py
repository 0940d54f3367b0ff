"""fastai: a callback takes the ids out of the batch and hands the predictions on.

    pip install 'trainmap[plot]' fastai scikit-learn
    python examples/fastai_callback.py

Handwritten digits, six epochs; a few seconds. Prints what the map holds and leaves ``map.png``.
"""

import torch
from fastai.basics import Callback, DataLoaders, Learner, accuracy
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset

import trainmap as tm


class Recording(Callback):
    """Records a training of fastai whose training data are ``tm.with_ids(dataset)``."""

    order = -10  # before callbacks that change the batch, such as mixup

    def __init__(self, recorder):
        self.recorder = recorder

    def before_batch(self):
        if self.training:  # the validation data have no ids
            self.ids, *rest = self.xb
            self.learn.xb = tuple(rest)

    def after_loss(self):
        if self.training:
            self.recorder.update(self.ids, self.pred, self.yb[0])

    def after_train(self):  # before the validation
        self.recorder.end_epoch()


def main():
    x, y = load_digits(return_X_y=True)
    x, held_x, y, held_y = train_test_split(torch.tensor(x / 16).float(), torch.tensor(y), random_state=0)
    loaders = DataLoaders(
        DataLoader(tm.with_ids(TensorDataset(x, y)), batch_size=32, shuffle=True),
        DataLoader(TensorDataset(held_x, held_y), batch_size=32),
    )
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    with tm.Recorder("dynamics", classes=10, overwrite=True, on_error="warn") as recorder:
        learner = Learner(loaders, network, loss_func=torch.nn.functional.cross_entropy, metrics=accuracy)
        learner.fit(6, lr=0.01, cbs=[Recording(recorder)])
    datamap = tm.DataMap.from_dynamics(tm.Dynamics.open("dynamics"))
    print(datamap)
    tm.plot_map(datamap, "map.png")


if __name__ == "__main__":
    main()
