"""Sounds as pictures: the log-mel spectrogram, cut or padded to one length, in 256 levels like pixels."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.io import wavfile

from trainmap.array_files import read_npz
from trainmap.data.raw_rows import Rows, label_numbers
from trainmap.errors import TrainmapError
from trainmap.files import read_text, reading
from trainmap.limits import check_room

MELS = 40
WINDOW_SECONDS, HOP_SECONDS = 0.025, 0.010
RANGE_DB = 80.0


def spectrogram(signal: NDArray[Any], rate: int, seconds: float) -> NDArray[np.uint8]:
    """The log-mel spectrogram of one recording, (MELS, frames) uint8: low tones in row 0, time to the right.

    ``P[m, t] = sum_f W[m, f] |FFT(hann * frame_t)[f]|^2`` with frames of 25 ms every 10 ms, all of them within the
    signal; ``level = round(255 max(0, 1 + 10 log10(P / max P) / 80))``: the loudest place of a recording is 255 and
    80 dB below it 0, so the loudness of the recording does not count. Silence is 0 everywhere.

    The signal is first cut to ``seconds`` around its middle, or padded with zeros on both sides alike (one more at the
    end when they are odd).

    Args:
        signal: (T,) one channel, integers or floats.
        rate: samples per second.
        seconds: what one picture shows.

    Raises:
        TrainmapError: more than one channel, or values that are not finite.

    Source: the mel scale and its triangles as in HTK (Young et al., The HTK Book, section 5.4); see ``mel_filters``.
    """
    if signal.ndim != 1 or not np.isfinite(signal).all():
        raise TrainmapError(f"a recording must be (T,) finite values, got {signal.dtype} {signal.shape}; mix to mono")
    if not 1000 <= rate <= 1_000_000:
        raise TrainmapError(f"a recording must have 1,000 to 1,000,000 samples a second, got {rate}")
    window, hop, length = round(WINDOW_SECONDS * rate), round(HOP_SECONDS * rate), round(seconds * rate)
    fft = 1 << (window - 1).bit_length()
    fitted = _fit_length(signal.astype(np.float64), length)
    frames = np.lib.stride_tricks.sliding_window_view(fitted, window)[::hop]
    power = np.abs(np.fft.rfft(frames * _hann(window), fft)) ** 2
    mel = mel_filters(rate, fft) @ power.T
    loudest = mel.max(initial=0)
    if loudest == 0:
        return np.zeros(mel.shape, np.uint8)
    decibels = 10 * np.log10(np.maximum(mel / loudest, 10 ** (-RANGE_DB / 10)))
    return np.rint(255 * (1 + decibels / RANGE_DB)).astype(np.uint8)


def mel_filters(rate: int, fft: int, mels: int = MELS) -> NDArray[np.float64]:
    """(mels, fft // 2 + 1): triangles of height 1 whose corners lie evenly on HTK's mel scale from 0 to rate / 2.

    ``mel(f) = 2595 log10(1 + f / 700)``; filter m rises from corner m to m + 1 and falls to m + 2, straight in Hz.
    """
    top = 2595 * np.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, mels + 2) / 2595) - 1)
    hertz = np.arange(fft // 2 + 1) * rate / fft
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    return np.clip(np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)), 0, None)


def _hann(window: int) -> NDArray[np.float64]:
    """The periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)


def _fit_length(signal: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    if len(signal) >= length:
        start = (len(signal) - length) // 2
        return signal[start : start + length]
    before = (length - len(signal)) // 2
    return np.pad(signal, (before, length - len(signal) - before))


Sounds = Iterable[tuple[NDArray[Any], int]]


def sound_rows(
    name: str, sounds: Sounds, y: NDArray[np.int64], classes: int, part: Any, seconds: float, **told: Any
) -> Rows:
    """Rows of recordings, each (signal, rate), as pixels (N, 1, MELS, frames); ``told``: further fields of theirs."""
    x = np.stack([spectrogram(signal, rate, seconds) for signal, rate in sounds])[:, None]
    return Rows(name, y, classes, np.asarray(part, "<U24"), lambda train: (x, 0), **told)


FSDD_SECONDS = 0.645
"""63 frames; longer than 90 % of the recordings (0.14 to 2.28 s, mean 0.44 s)."""


def fsdd_rows(path: Path) -> Rows:
    """The Free Spoken Digit Dataset: the official split, recordings 0 to 4 of every speaker and digit for testing.

    The file has audio (int16, all recordings one after the other), offsets (N + 1), digit, take and rate, and may have
    speaker (N,), the place of each recording's speaker among the speaker_names: a group that can be left out.

    Raises:
        TrainmapError: a file without these arrays.
    """
    needed, optional = ("audio", "offsets", "digit", "take", "rate"), ("speaker", "speaker_names")
    found = read_npz(path, needed, optional)
    audio, offsets, digit, take, rate = (found[name] for name in needed)
    whole = all(array.dtype.kind in "iu" for array in (audio, offsets, digit, take, rate)) and rate.size == 1
    alike = offsets.ndim == digit.ndim == take.ndim == audio.ndim == 1 and len(digit) == len(take) == len(offsets) - 1
    if not (whole and alike and len(digit) and _ascend(offsets, len(audio)) and 0 <= digit.min() <= digit.max() < 10):
        raise TrainmapError(
            f"{path} must hold integers: audio (T,), offsets (N + 1,) ascending within it, digit (N,) of 0 to 9, "
            "take (N,) and one rate; restore it from a copy"
        )
    sounds = ((audio[start:end], rate.item()) for start, end in pairwise(offsets))
    part = np.where(take < 5, "test", "train")
    told = [found[name] for name in optional if name in found]
    groups = {"speaker": _speakers(path, told[0], told[1], len(digit))} if len(told) == len(optional) else {}
    sound = partial(_between, audio, offsets, rate.item())
    return sound_rows("fsdd", sounds, digit.astype(np.int64), 10, part, FSDD_SECONDS, groups=groups, sound=sound)


def _between(audio: NDArray[Any], offsets: NDArray[Any], rate: int, row: int) -> tuple[NDArray[Any], int]:
    return audio[offsets[row] : offsets[row + 1]], rate


def _speakers(path: Path, speaker: NDArray[Any], names: NDArray[Any], count: int) -> pl.Series:
    """The name of each recording's speaker."""
    fits = speaker.shape == (count,) and speaker.dtype.kind in "iu" and names.ndim == 1 and names.dtype.kind == "U"
    if not fits or not 0 <= speaker.min() <= speaker.max() < len(names):
        raise TrainmapError(
            f"{path}: speaker must be (N,) places among the texts of speaker_names, got {speaker.dtype} "
            f"{speaker.shape} and {names.dtype} {names.shape}; restore it from a copy"
        )
    return pl.Series("speaker", names[speaker].tolist(), pl.String)


def _ascend(offsets: NDArray[Any], end: int) -> bool:
    steps = offsets.astype(np.float64)
    return steps[0] >= 0 and steps[-1] <= end and bool((np.diff(steps) >= 0).all())


SPEECH_SECONDS = 1.0


def speech_commands_rows(folder: Path) -> Rows:
    """Speech Commands: ``<word>/*.wav`` with validation_list.txt and testing_list.txt, the official split.

    Ids count the files in the order of their paths. Folders whose names start with "_" (background noise) are left.

    Source: Warden 2018, arXiv:1804.03209, section 7.

    Raises:
        TrainmapError: no lists, no recordings, or a file that cannot be read.
    """
    lists = {"validation": folder / "validation_list.txt", "test": folder / "testing_list.txt"}
    if missing := [str(path) for path in lists.values() if not path.is_file()]:
        raise TrainmapError(f"speech-commands must have its official lists; missing: {', '.join(missing)}")
    part_of = {line: part for part, path in lists.items() for line in read_text(path, "list").split()}
    paths = sorted(path for path in folder.glob("*/*.wav") if not path.parent.name.startswith("_"))
    if not paths:
        raise TrainmapError(f"{folder} must hold a folder of .wav files for each word, got none")
    y, names = label_numbers("speech-commands", [path.parent.name for path in paths])
    part = [part_of.get(f"{path.parent.name}/{path.name}", "train") for path in paths]
    groups = {"speaker": pl.Series([path.stem.partition("_")[0] for path in paths])}
    told: dict[str, Any] = {"names": tuple(names), "groups": groups, "sound": lambda row: _read_wav(paths[row])}
    return sound_rows("speech-commands", map(_read_wav, paths), y, len(names), part, SPEECH_SECONDS, **told)


def _read_wav(path: Path) -> tuple[NDArray[Any], int]:
    with reading(path, "readable .wav file"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scipy, on chunks that it does not know
        check_room(path, 8 * path.stat().st_size)
        rate, signal = wavfile.read(path, mmap=True)  # what it declares beyond its end takes no memory
        signal = np.array(signal)
    return signal.astype(np.int16) - 128 if signal.dtype == np.uint8 else signal, int(rate)  # 8 bits: 128 is silence
