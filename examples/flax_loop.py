"""A loop of Flax NNX whose jitted step hands its logits out; they are read one step later, so that no step waits.

python examples/flax_loop.py
"""

import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

import trainmap as tm

x, y = load_digits(return_X_y=True)
x = (x / 16).astype(np.float32)


class Network(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first, self.last = nnx.Linear(64, 64, rngs=rngs), nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x):
        return self.last(nnx.relu(self.first(x)))


@nnx.jit
def train_step(model, optimizer, x, labels):
    def loss_of(model):
        logits = model(x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), logits

    (_, logits), gradient = nnx.value_and_grad(loss_of, has_aux=True)(model)
    optimizer.update(model, gradient)
    return logits


model = Network(nnx.Rngs(0))
optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
generator = np.random.default_rng(0)
with tm.JaxRecorder("flax-dynamics", classes=10, overwrite=True) as recorder:
    for _ in range(15):
        for ids in np.array_split(generator.permutation(len(y)), 56):
            logits = train_step(model, optimizer, x[ids], y[ids])
            recorder.update(ids, logits, y[ids])  # 1: each batch
        recorder.end_epoch()  # 2: each epoch

datamap = tm.DataMap.from_dynamics(tm.Dynamics.open("flax-dynamics"))
tm.plot_map(datamap, "flax-map.png")
print(datamap.table["region"].value_counts(sort=True))
easiest = tm.hard_first("confidence", datamap.values("confidence"), datamap.ids)[-5:]
print("easiest to learn:", easiest.tolist(), "labelled", y[easiest].tolist())
