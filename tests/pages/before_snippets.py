"""What stands before the snippets of each page: what a reader has already, a data set, a network, a recording.

``BEFORE[page][number]`` is run before the snippet of that number, from 0; all of a page share one namespace and one
folder. ``AFTER[page]`` looks at what they left.
"""

from __future__ import annotations

from collections.abc import Mapping

BEFORE: Mapping[str, Mapping[int, str]] = {
    "audit.md": {
        0: """
import numpy as np
from tiny_training import record
record("dynamics")
""",
        2: """
ids = np.arange(1000)
labels = ids % 10
runs = 0
def train_on(ids, labels, classes=10):
    global runs
    runs += 1
    return record(f"run{runs}", ids, labels, classes=classes)
""",
    },
    "compression.md": {
        0: """
from tiny_training import built, map_of, short_recipe, splits_of
data = splits_of("digits")
train = data.train.subset(data.train.ids[:300])
model, recipe = built("cnn-16", train.inputs), short_recipe("cnn-16", train.inputs)
datamap = map_of("dynamics", train.ids, train.y)
""",
    },
    "conventions.md": {
        0: """
from tiny_training import record
dynamics = record("dynamics")
block = dynamics.block()
""",
    },
    "cross-fitting.md": {
        0: """
import numpy as np
import torch
from tiny_training import arrays, network
x, labels = arrays()
ids, epochs = np.arange(len(labels)), 2
def new_model(seed):
    return network()
def train_an_epoch(model, ids):
    pass
def logits_of(model, ids):
    return model(torch.as_tensor(x[ids])).detach()
""",
        1: """
def restore(model):
    return 1
""",
        2: """
import shutil
shutil.rmtree("held-out")
""",
        3: """
shutil.rmtree("held-out")
y = labels
""",
        4: """
shutil.rmtree("held-out")
""",
        5: """
shutil.rmtree("held-out")
from datasets import Dataset
from transformers import BertConfig, BertForSequenceClassification, TrainingArguments
words = np.arange(60).reshape(20, 3) % 7
ids, labels = np.array([f"text {number}" for number in range(20)]), np.arange(20) % 2
dataset = Dataset.from_dict({"input_ids": words.tolist(), "labels": labels.tolist()})
def new_model():
    return BertForSequenceClassification(BertConfig(vocab_size=7, hidden_size=8, num_hidden_layers=1,
        num_attention_heads=1, intermediate_size=8, max_position_embeddings=4, num_labels=2))
args = TrainingArguments("kept", num_train_epochs=2, save_strategy="no", report_to="none", disable_tqdm=True,
    logging_strategy="no", use_cpu=True)
""",
    },
    "errors.md": {
        0: """
from tiny_training import map_of
datamap = map_of("dynamics")
""",
    },
    "evaluation.md": {
        0: """
from pathlib import Path
import numpy as np
from tiny_training import built, splits_of, write_texts
Path("data").mkdir()
generator = np.random.default_rng(0)
np.savez("data/usps.npz", x_test=generator.integers(0, 256, (10, 16, 16), dtype=np.uint8), y_test=np.arange(10))
np.savez("data/mnist.npz", **{f"x_{part}": generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    for part, count in (("train", 30), ("test", 10))}, y_train=np.arange(30) % 10, y_test=np.arange(10))
splits = splits_of("data/mnist.npz")
model = built("cnn-4", splits.test.inputs)
""",
        1: """
inside, outside = splits.test, splits.train
write_texts("data/sst2.parquet")
write_texts("data/reviews.parquet", labels=("neg", "pos"))
digits, takes, speakers = (part.ravel() for part in np.meshgrid(range(10), range(8), range(3), indexing="ij"))
np.savez("data/fsdd.npz", audio=generator.integers(-1000, 1000, 240 * 800).astype(np.int16),
    offsets=np.arange(241) * 800, digit=digits, take=takes, rate=np.array(8000), speaker=speakers,
    speaker_names=np.array(["jackson", "theo", "yweweler"]))
""",
    },
    "exchange.md": {
        0: """
from tiny_training import map_of, record
dynamics = record("dynamics")
map_of("dynamics").save("map.parquet")
""",
        1: """
import datasets
dataset = datasets.Dataset.from_dict({"guid": dynamics.ids.tolist()})
""",
        2: """
import trainmap.maps
trainmap.maps.export_fiftyone(map_of("dynamics"), "fields.json", dynamics)
fields = {}
class Samples:  # what FiftyOne has under this name takes these
    def set_values(self, field, values, key_field):
        assert key_field == "trainmap_id" and len(values) == 600
        fields[field] = values
dataset = Samples()
""",
    },
    "exploring.md": {
        0: """
from PIL import Image
from pathlib import Path as Folder
from tiny_training import record, splits_of
digits = splits_of("digits").train
record("dynamics", digits.ids[:60], digits.y[:60])
Folder("photos").mkdir()
for key in digits.ids[:60]:
    Image.new("RGB", (8, 8), (int(key) % 256, 0, 0)).save(f"photos/{key}.jpg")
monkeypatch.setattr("trainmap.explorer.explored.serve", lambda explorer: None)  # it would wait for Ctrl-C
""",
    },
    "grids.md": {
        0: """
from tiny_training import built, map_of, short_recipe, splits_of
data = splits_of("digits")
datamap = map_of("other", data.train.ids, data.train.y)
recipe, student = short_recipe("cnn-8", data.train.inputs), built("cnn-4", data.train.inputs)
""",
        1: """
model = teacher
""",
    },
    "guide.md": {
        0: """
from tiny_training import loader, network
loader, model, optimizer, epochs = loader(), network(), None, 4
""",
        1: """
def restore(model, optimizer):
    return 3
""",
    },
    "losses.md": {
        0: """
from tiny_training import built, map_of, short_recipe, splits_of
data = splits_of("digits").train
data = data.subset(data.ids[:300])
teacher, student, recipe = built("cnn-8", data.inputs), built("cnn-4", data.inputs), short_recipe("cnn-4", data.inputs)
datamap = map_of("dynamics", data.ids, data.y)
""",
    },
    "race.md": {
        0: """
import numpy as np
from tiny_training import map_of, splits_of, write_texts
write_texts("texts.parquet", 1600)
splits = splits_of("texts.parquet")
datamap = map_of("dynamics", splits.train.ids, splits.train.y, classes=2)
""",
        1: """
accuracy_on_held_out_data, of_texts = 0.5, datamap
datamap = map_of("large", np.arange(6000))
""",
        2: """
datamap = of_texts.with_scores(of_texts.ids, {"length": np.arange(len(of_texts)) % 30.0})
""",
    },
    "schedules.md": {
        0: """
import numpy as np
import torch
from torch.nn.functional import cross_entropy
from tiny_training import Examples, network
dataset, model = Examples(200), network()
ids = np.arange(len(dataset))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
""",
    },
    "selecting.md": {
        0: """
import numpy as np
from tiny_training import map_of
ids = np.arange(6000)
labels = ids % 10
datamap = map_of("dynamics", ids)
dataset = [f"example {number}" for number in ids]
""",
        2: """
last_layer = np.random.default_rng(0).normal(size=(len(ids), 6)).astype(np.float32)
teacher_logits = np.random.default_rng(1).normal(size=(len(ids), 10))
""",
    },
    "selection.md": {
        0: """
import numpy as np
from tiny_training import map_of
datamap = map_of("dynamics", np.arange(6000))
""",
    },
    "stability.md": {
        0: """
from tiny_training import map_of, record
paths = ["seed0", "seed1", "seed2"]
for seed, path in enumerate(paths):
    record(path, seed=seed)
""",
        1: """
map_0, map_1, map_2 = (map_of(path, seed=seed) for seed, path in enumerate(paths))
""",
        2: """
from tiny_training import arrays, logits_over
labels = arrays()[1]
import trainmap
epochs, recorder = 8, trainmap.Recorder("dynamics", classes=10)
for logits in logits_over(6, labels):
    recorder.update(range(len(labels)), logits, labels)
    recorder.end_epoch()
monkeypatch.setattr(recorder, "end_epoch", lambda: None)  # the loop trains on nothing here
""",
    },
}

AFTER: Mapping[str, str] = {
    "audit.md": "assert found.suspected is not None",
    "deploying.md": """
from pathlib import Path
assert (Path("maps-app") / "pyproject.toml").exists()
""",
    "format.md": """
import numpy as np
from tiny_training import record
dynamics = record("dynamics")
np.testing.assert_array_equal(read_column("dynamics/epochs/00000.arrow", "loss", "f"), dynamics.column(0, "loss"))
""",
    "guide.md": """
from pathlib import Path
assert dynamics.epochs == 3
assert Path("map.png").read_bytes().startswith(b"\\x89PNG")
assert len(tm.DataMap.open("map.parquet")) == 300
""",
    "leaderboard.md": """
import trainmap as tm
from tiny_training import map_of
assert len(tm.select_by(map_of("dynamics"), closest, 50)) == 50
""",
    "selecting.md": """
assert str(plan) == "17% ambiguous + 1000 easy-to-learn"
assert len(selection) == 5000
""",
}
