"""What a network is fed: three forms of input, and the one place where kept values become a network's values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainmap.errors import TrainmapError, unknown

Form = Literal["pixels", "features", "tokens"]


@dataclass(frozen=True)
class Inputs:
    """The form and shape of one example.

    Attributes:
        form: "pixels", "features" or "tokens".
        shape: (channels, height, width), (D,) or (L,).
        vocabulary: number of different tokens, the padding 0 included; 0 for the other forms.
        tokenizer: of the tokens of a pretrained encoder, the word of its tokenizer (``subwords.Tokenizer``); "" for
            words and for the other forms.

    Raises:
        TrainmapError: an unknown form, a shape that is not the form's, or a vocabulary where there are no tokens.
    """

    form: Form
    shape: tuple[int, ...]
    vocabulary: int = 0
    tokenizer: str = ""

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise unknown("form of input", str(self.form), get_args(Form))
        dimensions = 3 if self.form == "pixels" else 1
        if len(self.shape) != dimensions or min(self.shape) < 1:
            raise TrainmapError(f"{self.form} must have {dimensions} positive side(s), got shape {self.shape}")
        if (self.vocabulary < 2) if self.form == "tokens" else (self.vocabulary != 0):
            raise TrainmapError(
                f"vocabulary must be at least 2 for tokens and 0 for other forms, got {self.vocabulary} for {self.form}"
            )

    @staticmethod
    def images(channels: int, size: int) -> Inputs:
        """Square images."""
        return Inputs("pixels", (channels, size, size))

    @property
    def square(self) -> bool:
        """Whether these are images as high as wide."""
        return self.form == "pixels" and self.shape[1] == self.shape[2]

    def example(self, batch: int = 1, device: str | torch.device = "cpu") -> Tensor:
        """A made batch that a network can be run on: zeros, for tokens ones (0 is padding)."""
        if self.form == "tokens":
            return torch.ones(batch, *self.shape, dtype=torch.long, device=device)
        return torch.zeros(batch, *self.shape, device=device)

    def __str__(self) -> str:
        sides = " x ".join(map(str, self.shape))
        return f"{sides} {self.form}" + (f" of {self.vocabulary}" if self.vocabulary else "")


def as_tensor(array: NDArray[Any], device: str) -> Tensor:
    """The array on ``device``; a read-only array is copied, since torch has no read-only tensors."""
    return torch.from_numpy(array if array.flags.writeable else array.copy()).to(device)


def to_float(x: Tensor, channels_last: bool = False) -> Tensor:
    """Pixels 0..255 (uint8) → about -2..2, the same for every dataset.

    Nothing is measured on the data, so that a subset, its teacher and the test set are scaled alike.
    """
    # Scaled first and reordered then: half the time of the other way round (3 x 32 x 32).
    scaled = x.to(torch.float32, memory_format=torch.contiguous_format).sub_(127.5).div_(64.0)
    return scaled.to(memory_format=torch.channels_last) if channels_last else scaled


def to_input(x: Tensor, channels_last: bool = False) -> Tensor:
    """A batch as it is kept → as a network takes it: pixels (uint8) by ``to_float``, tokens (int32) as int64, features
    (float32) as they are."""
    if x.dtype == torch.uint8:
        return to_float(x, channels_last)
    return x.long() if x.dtype == torch.int32 else x


def inputs_of(name: str, x: NDArray[Any], vocabulary: int, tokenizer: str = "") -> Inputs:
    """The form and shape that an array of examples has; ``name`` is for the error.

    Raises:
        TrainmapError: an array of no form, features that are not finite, tokens outside the vocabulary.
    """
    if x.dtype == np.uint8 and x.ndim == 4:
        return Inputs("pixels", x.shape[1:], vocabulary)
    if x.dtype == np.float32 and x.ndim == 2:
        if (strange := np.flatnonzero(~np.isfinite(x).all(axis=1))).size:
            raise TrainmapError(
                f"{name}: features must be finite, {strange.size} of {len(x)} examples have NaN or infinity "
                f"(first: row {strange[0]}); fill them in or leave those examples out"
            )
        return Inputs("features", x.shape[1:], vocabulary)
    if x.dtype == np.int32 and x.ndim == 2:
        if x.size and (x.min() < 0 or x.max() >= vocabulary):
            raise TrainmapError(f"{name}: tokens must be 0 to {vocabulary - 1}, got {x.min()} to {x.max()}")
        return Inputs("tokens", x.shape[1:], vocabulary, tokenizer)
    raise TrainmapError(
        f"{name}: x must be uint8 (N, channels, H, W) pixels, float32 (N, D) features or int32 (N, L) tokens, "
        f"got {x.dtype} {x.shape}"
    )
