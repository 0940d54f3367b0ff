"""The table of adapters, each behind its door; a door's file is imported when it is asked for.

As a program it is one training of its own, to be killed, or one process of several::

    python doors.py DOOR FOLDER '{"epochs": 3, "stop": [1, 2], "kill": true}'
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

from contract import Door, from_words

TABLE = {  # name on the page -> file, class
    "DataLoader": ("loop_doors", "LoaderDoor"),
    "Accelerate": ("loop_doors", "AccelerateDoor"),
    "Transformers Trainer": ("trainer_doors", "TrainerDoor"),
    "Lightning": ("framework_doors", "LightningDoor"),
    "Keras on torch": ("framework_doors", "KerasDoor"),
    "Keras on JAX": ("framework_doors", "KerasJaxDoor"),
    "JAX": ("framework_doors", "JaxDoor"),
}


class Doors(Mapping[str, Door]):
    def __getitem__(self, name: str) -> Door:
        file, kind = TABLE[name]
        return getattr(import_module(file), kind)()

    def __iter__(self) -> Iterator[str]:
        return iter(TABLE)

    def __len__(self) -> int:
        return len(TABLE)


DOORS = Doors()


if __name__ == "__main__":
    name, folder, words = sys.argv[1:]
    DOORS[name].train(Path(folder), from_words(words))
