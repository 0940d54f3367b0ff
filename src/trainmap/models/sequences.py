"""Small networks for sequences of word tokens, and the transformer layer that they share with the images' transformer.

Every network maps (B, L) int64 tokens, 0 for padding, to logits (B, classes); padding changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainmap.data.inputs import Inputs


class EncoderLayer(nn.Module):
    """Pre-norm self-attention and a two-layer perceptron four times as wide, each added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``mask`` (B, 1, 1, L) bool: which tokens may be looked at; all of them for None."""
        batch, tokens, width = x.shape
        q, k, v = self.qkv(self.attention_norm(x)).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.mlp(self.mlp_norm(x))


class TextTransformer(nn.Module):
    """A transformer encoder over the tokens, learned positions, mean over the tokens that are no padding.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.1 (the encoder).
    Differs: the norms stand before the layers (Xiong et al. 2020, arXiv:2002.04745), GELU, positions are learned.
    """

    def __init__(self, classes: int, inputs: Inputs, width: int, depth: int = 2) -> None:
        super().__init__()
        self.embed = nn.Embedding(inputs.vocabulary, width)
        self.position = nn.Parameter(0.1 * torch.randn(inputs.shape[0], width))
        self.layers = nn.ModuleList(EncoderLayer(width, heads=max(1, width // 16)) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        present = present_tokens(x)
        tokens = self.embed(x) + self.position
        for layer in self.layers:
            tokens = layer(tokens, present[:, None, None, :])
        return self.head(masked_mean(self.norm(tokens), present))


class TextBag(nn.Module):
    """The mean of the tokens' embeddings, whatever their order, through one hidden layer with ReLU.

    Source: Joulin et al. 2017, arXiv:1607.01759 (fastText). Differs: a hidden layer, no pairs of words.
    """

    def __init__(self, classes: int, inputs: Inputs, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(inputs.vocabulary, width)
        self.hidden = nn.Linear(width, 2 * width)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.hidden(masked_mean(self.embed(x), present_tokens(x)))))


def present_tokens(x: Tensor) -> Tensor:
    """(B, L) bool: the tokens that are no padding; of nothing but padding the first, so that there is a mean."""
    first = torch.arange(x.shape[1], device=x.device) == 0
    return (x != 0) | first


def masked_mean(tokens: Tensor, present: Tensor) -> Tensor:
    """(B, L, D) → (B, D): the mean over the tokens of ``present`` (B, L)."""
    weights = present.to(tokens.dtype)[..., None]
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1)


TOKEN_MODELS: dict[str, Callable[[int, Inputs], nn.Module]] = {
    "text-32": partial(TextTransformer, width=32),
    "text-64": partial(TextTransformer, width=64),
    "text-bag-8": partial(TextBag, width=8),
    "text-bag-16": partial(TextBag, width=16),
    "text-bag-64": partial(TextBag, width=64),
}
"""For word tokens: (classes, inputs) → network."""
