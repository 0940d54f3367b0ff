"""Do the regions of a map agree with people? Scores of CIFAR-10's test images beside how much people disagree on them.

Command: python experiments/eq7_human.py --data-root DATA --counts cifar10h.npz --out eq7
Time: 111 core-seconds at small scale; paper scale has not been run
Found (cnn-8, 4 epochs, test accuracy 71.0 to 72.5 %, n = 3 seeds, 10,000 images): Spearman with human entropy, the hard
end counted as high: confidence 0.259 ± 0.013, EL2N 0.258 ± 0.013, AUM 0.254 ± 0.012, forgetting 0.206 ± 0.012;
variability -0.072 ± 0.024. Mean entropy in bits: hard-to-learn 0.335, ambiguous 0.192, easy-to-learn 0.118.

EQ7. A network learns the training images and is recorded on the test images after each epoch (a sweep: it never
learns from them), so that each of them has its place on a map. cifar10h.npz holds ``counts`` (10000, 10): how many of
about 51 people chose each class (Peterson et al. 2019, arXiv:1908.07086; the test set's order). Each score is
correlated with the entropy of these choices: Spearman, equal values share their mean rank; the interval is Student's t
over seeds, and the bootstrap over images.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import trainmap as tm
from trainmap.errors import TrainmapError
from trainmap.experiments.statistics import interval
from trainmap.files import write_json
from trainmap.maps.human import HumanAgreement, human_agreement, label_entropy
from trainmap.training.data import load_splits
from trainmap.training.evaluate import evaluate, predict
from trainmap.training.fit import default_recipe, fit
from trainmap.training.models import build

SCORES = ("confidence", "variability", "correctness", "forgetting", "aum", "el2n", "entropy", "loss", "learning_time")


@dataclass(frozen=True)
class Scale:
    """Which network learns, how long, how often."""

    model: str
    epochs: int
    seeds: tuple[int, ...]
    device: str = "cpu"


def probe_map(scale: Scale, seed: int, data_root: str, out: Path) -> tm.DataMap:
    """The map of the test images under one training; kept, and made once."""
    path = out / f"map-{seed}.parquet"
    if path.exists():
        return tm.DataMap.open(path)
    data = load_splits("cifar10", data_root, validation=0.0)
    train, test = data.train, data.test
    model = build(scale.model, train.classes, train.inputs, seed)
    recipe = default_recipe(scale.model, "cifar10", scale.epochs)
    folder = out / f"dynamics-{seed}"
    if folder.exists():
        raise TrainmapError(f"{folder} is of a training that was interrupted; remove it to train again")
    with tm.Recorder(folder, classes=test.classes, ids=test.ids, labels=test.y, source="sweep") as recorder:

        def sweep(epoch: int, loss: float) -> None:
            recorder.update(test.ids, predict(model, test, device=scale.device), test.y)
            recorder.end_epoch()

        result = fit(model, train, recipe, seed=seed, device=scale.device, on_epoch=sweep)
    metrics = evaluate(predict(model, test, device=scale.device), test.y)
    print(f"seed {seed}: test accuracy {metrics.accuracy:.4f}, {result.cpu_seconds:.0f} CPU seconds", flush=True)
    datamap = tm.DataMap.from_dynamics(tm.Dynamics.open(folder), list(SCORES), workers=1)
    datamap.save(path)
    return datamap


def table(found: dict[int, list[HumanAgreement]]) -> str:
    """Markdown: each score over seeds, and over images for the first seed."""
    lines = ["| score | Spearman, mean over seeds | over images, first seed |", "|---|---|---|"]
    first = next(iter(found.values()))
    for at, one in enumerate(first):
        over = interval([agreements[at].spearman for agreements in found.values()])
        told = f"{over.mean:.3f}" if len(found) == 1 else f"{over.mean:.3f} ± {over.half_width:.3f}"
        over_images = f"{one.spearman:.3f} [{one.low:.3f}, {one.high:.3f}]"
        lines.append(f"| {one.score} | {told} (n={over.n}) | {over_images} (n={one.examples}) |")
    return "\n".join(lines)


def by_region(datamap: tm.DataMap, entropy: np.ndarray) -> str:
    """Mean entropy of the images of each region, and how many they are."""
    regions = datamap.table["region"].fill_null("none").to_numpy()
    told = [
        f"{name}: {interval(entropy[regions == name].tolist()).mean:.3f} bits (n={(regions == name).sum()})"
        for name in sorted(set(regions))
    ]
    return "; ".join(told)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--counts", required=True, help="cifar10h.npz")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scale", choices=SCALES, default="small")
    chosen = parser.parse_args()
    scale = SCALES[chosen.scale]
    chosen.out.mkdir(parents=True, exist_ok=True)
    with np.load(chosen.counts) as file:
        entropy = label_entropy(file["counts"])
    maps = {seed: probe_map(scale, seed, chosen.data_root, chosen.out) for seed in scale.seeds}
    found = {seed: human_agreement(one, one.ids, entropy) for seed, one in maps.items()}  # both in the order of the set
    print(table(found))
    print("entropy by region, first map:", by_region(maps[scale.seeds[0]], entropy))
    write_json(chosen.out / "agreement.json", {str(seed): [vars(one) for one in rows] for seed, rows in found.items()})


SCALES = {
    "small": Scale("cnn-8", 4, (0, 1, 2)),
    "paper": Scale("resnet50+pretrained", 10, (42, 43, 44), "cuda"),
}

if __name__ == "__main__":
    main()
