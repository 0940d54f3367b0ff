"""XGBoost and LightGBM while they train, CatBoost by its stages: whose maps agree, and who finds wrong labels?

python examples/boosters.py
"""

import catboost
import lightgbm
import numpy as np
import xgboost
from sklearn.datasets import load_breast_cancer

import trainmap as tm

x, y = load_breast_cancer(return_X_y=True)
wrong = np.random.default_rng(0).permutation(len(y))[:28]  # one label in twenty, so that there is something to find
y[wrong] = 1 - y[wrong]
ROUNDS, EVERY = 40, 4
said = {"classes": 2, "source": "sweep", "as_": "probabilities", "overwrite": True}

# Both hand a metric their predictions of the training data anyway: it keeps those of every fourth round.
with tm.Recorder("xgboost-dynamics", **said) as recorder:
    data = xgboost.DMatrix(x, y)
    metric = tm.RecordingMetric(recorder, data, every=EVERY)
    params = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.1}
    xgboost.train(params, data, ROUNDS, evals=[(data, "train")], custom_metric=metric, verbose_eval=False)

with tm.Recorder("lightgbm-dynamics", **said) as recorder:
    data = lightgbm.Dataset(x, y)
    metric = tm.RecordingMetric(recorder, data, every=EVERY)
    params = {"objective": "binary", "max_depth": 3, "metric": "None", "verbosity": -1}
    lightgbm.train(params, data, ROUNDS, valid_sets=[data], feval=metric)

model = catboost.CatBoostClassifier(iterations=ROUNDS, depth=3, verbose=False, allow_writing_files=False).fit(x, y)
tm.record_stages(model, x, y, "catboost-dynamics", stages=ROUNDS // EVERY, overwrite=True)

maps = {}
for name in ("xgboost", "lightgbm", "catboost"):
    dynamics = tm.Dynamics.open(f"{name}-dynamics")
    maps[name] = tm.DataMap.from_dynamics(dynamics)
    tm.plot_map(maps[name], f"{name}-map.png")
    first = tm.hard_first("aum", maps[name].values("aum"), maps[name].ids)[: len(wrong)]
    print(
        f"{name}: {dynamics.epochs} stages; of its {len(wrong)} hardest {len(set(first) & set(wrong))} are wrong labels"
    )
for one, other in (("xgboost", "lightgbm"), ("xgboost", "catboost")):
    (agreement,) = tm.compare(maps[one], maps[other], scores=["confidence"]).scores
    print(f"{one} and {other} rank the examples alike by {agreement.spearman:.2f} (Spearman)")
