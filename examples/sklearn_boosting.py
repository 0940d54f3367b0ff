"""scikit-learn: a fitted ensemble by its stages, a linear model by the iterations of its solver; do the maps agree?

python examples/sklearn_boosting.py
"""

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import trainmap as tm

data = load_breast_cancer()
x, y = StandardScaler().fit_transform(data.data), data.target_names[data.target]  # labels may be words

trees = HistGradientBoostingClassifier(max_iter=40, learning_rate=0.05).fit(x, y)
stages = tm.record_stages(trees, x, y, "boosting-dynamics", stages=20, overwrite=True)

with tm.SklearnRecorder("linear-dynamics", overwrite=True) as watch:
    LogisticRegression(C=0.1).set_callbacks(watch).fit(x, y)
iterations = tm.Dynamics.open("linear-dynamics")

maps = [tm.DataMap.from_dynamics(one) for one in (stages, iterations)]
for name, datamap in zip(("boosting", "linear"), maps, strict=True):
    tm.plot_map(datamap, f"{name}-map.png")
    hardest = tm.hard_first("confidence", datamap.values("confidence"), datamap.ids)[:5]
    print(f"{name}: {datamap.epochs} epochs, hardest {hardest.tolist()}: {y[hardest].tolist()}")
(agreement,) = tm.compare(*maps, scores=["confidence"]).scores
print(f"the maps rank the examples alike by {agreement.spearman:.2f} (Spearman): trees learn most of them by heart")
