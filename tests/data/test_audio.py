from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

from trainmap.data.audio import HOP_SECONDS, MELS, WINDOW_SECONDS, mel_filters, spectrogram
from trainmap.data.dataset import load_splits
from trainmap.errors import TrainmapError

RATE = 8000


def tone(hertz: float, seconds: float = 0.3, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def by_loops(signal: np.ndarray, rate: int) -> np.ndarray:
    """The formula, one value at a time, with an explicit Fourier sum."""
    window, hop = round(WINDOW_SECONDS * rate), round(HOP_SECONDS * rate)
    fft = 2 ** int(np.ceil(np.log2(window)))
    bins = np.arange(fft // 2 + 1)
    waves = np.exp(-2j * np.pi * np.outer(bins, np.arange(window)) / fft)
    mel = [2595 * np.log10(1 + f / 700) for f in bins * rate / fft]
    corners = [700 * (10 ** (m / 2595) - 1) for m in np.linspace(0, mel[-1], MELS + 2)]
    power = np.zeros((MELS, (len(signal) - window) // hop + 1))
    for t in range(power.shape[1]):
        frame = signal[t * hop : t * hop + window] * np.sin(np.pi * np.arange(window) / window) ** 2
        strength = np.abs(waves @ frame) ** 2
        for m in range(MELS):
            low, middle, high = corners[m : m + 3]
            for f, value in zip(bins * rate / fft, strength, strict=True):
                if low < f <= middle:
                    power[m, t] += value * (f - low) / (middle - low)
                elif middle < f < high:
                    power[m, t] += value * (high - f) / (high - middle)
    with np.errstate(divide="ignore"):
        decibels = 10 * np.log10(power / power.max())
    return np.rint(255 * np.maximum(0, 1 + decibels / 80))


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_spectrogram_is_the_formula(rate: int) -> None:
    noise = np.random.default_rng(0).normal(size=round(0.1 * rate)) + 3 * tone(900, 0.1, rate)
    made = spectrogram(noise, rate, 0.1)
    assert made.shape == (40, 8)
    np.testing.assert_allclose(made.astype(float), by_loops(noise, rate), atol=1)  # where a half is rounded
    assert (made == by_loops(noise, rate)).mean() > 0.99


def test_a_tone_is_brightest_in_the_row_of_its_frequency() -> None:
    centres = np.array([(row * np.arange(row.size)).sum() / row.sum() * RATE / 256 for row in mel_filters(RATE, 256)])
    for hertz in (440, 1000, 3000):
        rows = spectrogram(tone(hertz), RATE, 0.3).argmax(axis=0)
        assert np.abs(centres[rows] - hertz).max() < 100


def test_loudness_and_the_type_of_the_samples_do_not_count() -> None:
    loud = np.round(30_000 * tone(700)).astype(np.int16)
    one, other = spectrogram(loud, RATE, 0.3), spectrogram(loud / 3000.0, RATE, 0.3)
    np.testing.assert_array_equal(one, other)
    assert one.max() == 255


def test_silence_is_black() -> None:
    assert not spectrogram(np.zeros(100, np.int16), RATE, 0.3).any()
    assert not spectrogram(np.zeros(0, np.int16), RATE, 0.3).any()


def test_short_recordings_are_padded_on_both_sides_and_long_ones_cut_around_the_middle() -> None:
    short = spectrogram(tone(1000, 0.1), RATE, 0.5)
    assert short.shape == spectrogram(tone(1000, 0.9), RATE, 0.5).shape
    assert not short[:, [0, -1]].any()
    assert short[:, short.shape[1] // 2].max() > 200
    long = np.concatenate([np.zeros(2400), tone(1000, 0.1), np.zeros(2400)])
    np.testing.assert_array_equal(spectrogram(long, RATE, 0.1), spectrogram(tone(1000, 0.1), RATE, 0.1))


@pytest.mark.parametrize("signal", [np.zeros((10, 2)), np.array([0.0, np.nan])])
def test_what_is_no_recording_is_an_error(signal: np.ndarray) -> None:
    with pytest.raises(TrainmapError, match="mix to mono"):
        spectrogram(signal, RATE, 0.1)


def fsdd(path: Path, **change: Any) -> None:
    sounds = [np.round(9000 * tone(200 + 200 * digit, 0.1 + 0.01 * take)) for digit in range(3) for take in range(7)]
    parts: dict[str, Any] = {
        "audio": np.concatenate(sounds).astype(np.int16),
        "offsets": np.cumsum([0, *map(len, sounds)]),
        "digit": np.repeat(np.arange(3), 7).astype(np.uint8),
        "take": np.tile(np.arange(7), 3).astype(np.uint8),
        "rate": np.array(RATE),
    }
    np.savez(path, allow_pickle=False, **{key: value for key, value in (parts | change).items() if value is not None})


def test_spoken_digits_are_split_by_the_number_of_the_recording(tmp_path: Path) -> None:
    fsdd(tmp_path / "fsdd.npz")
    splits = load_splits("fsdd", tmp_path, validation=0)
    assert splits.train.ids.tolist() == [5, 6, 12, 13, 19, 20]
    assert splits.train.x.shape == (6, 1, 40, 63)
    assert splits.train.x.dtype == np.uint8
    assert splits.train.classes == 10
    np.testing.assert_array_equal(splits.test.x[0, 0], spectrogram(np.round(9000 * tone(200, 0.1)), RATE, 0.645))


def test_a_file_that_lacks_an_array_says_which(tmp_path: Path) -> None:
    fsdd(tmp_path / "fsdd.npz", take=None)
    with pytest.raises(TrainmapError, match=r"must hold .*; missing: take"):
        load_splits("fsdd", tmp_path)
    (tmp_path / "fsdd.npz").write_text("no archive")
    with pytest.raises(TrainmapError, match=r"not a readable \.npz"):
        load_splits("fsdd", tmp_path)


def speech_commands(root: Path) -> Path:
    folder = root / "speech_commands"
    for place, word in enumerate(("yes", "no", "_background_noise_")):
        (folder / word).mkdir(parents=True)
        for take in range(4):
            samples = np.round(9000 * tone(300 + 500 * place, 0.8 + 0.1 * take, 16000)).astype(np.int16)
            wavfile.write(folder / word / f"{take}.wav", 16000, samples)
    (folder / "validation_list.txt").write_text("yes/0.wav\nno/0.wav\n")
    (folder / "testing_list.txt").write_text("yes/1.wav\n")
    return folder


def test_speech_commands_are_split_by_their_lists(tmp_path: Path) -> None:
    speech_commands(tmp_path)
    splits = load_splits("speech-commands", tmp_path, validation=0.5)
    assert [part.ids.tolist() for part in vars(splits).values()] == [[1, 2, 3, 6, 7], [0, 4], [5]]
    assert [part.y.tolist() for part in vars(splits).values()] == [[0, 0, 0, 1, 1], [0, 1], [1]]
    assert splits.train.x.shape == (5, 1, 40, 98)


def test_a_recording_of_eight_bits_is_silent_at_128(tmp_path: Path) -> None:
    """Were 128 taken for loud, the padding would be a step down to 0, and the step a noise at every pitch."""
    folder = speech_commands(tmp_path)
    wavfile.write(folder / "yes" / "0.wav", 16000, np.full(8000, 128, np.uint8))
    assert not load_splits("speech-commands", tmp_path, validation=0).validation.x[1].any()


def test_speech_commands_that_are_torn_or_missing_say_so(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="speech-commands is not there"):
        load_splits("speech-commands", tmp_path)
    folder = speech_commands(tmp_path)
    (folder / "yes" / "2.wav").write_bytes(b"no sound")
    with pytest.raises(TrainmapError, match=r"2\.wav is not a readable \.wav"):
        load_splits("speech-commands", tmp_path)
    (folder / "testing_list.txt").unlink()
    with pytest.raises(TrainmapError, match=r"missing: .*testing_list\.txt"):
        load_splits("speech-commands", tmp_path)
