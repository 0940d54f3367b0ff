"""A network in a file that ONNX Runtime runs: for shipping, and to measure what will be shipped."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trainmap.compression.compressed import MISSING
from trainmap.errors import TrainmapError
from trainmap.files import reading


class OnnxNetwork(nn.Module):
    """An ONNX file as a network: ``predict`` and ``measure`` take it. Runs on the CPU, without gradients.

    Args:
        content: of the file; its one input is (B, ...) float32 with any B, its first output (B, classes).
        threads: of the session.
    """

    def __init__(self, content: bytes, threads: int = 1) -> None:
        super().__init__()
        try:
            import onnxruntime
        except ImportError as error:
            raise TrainmapError(MISSING) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4  # what is wrong with a file is raised; its warnings are not for a terminal
        self.content = content
        with reading("the ONNX network", "network that ONNX Runtime runs", "export it again"):
            self.session: Any = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            self.input: str = self.session.get_inputs()[0].name

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) → (B, classes) on the device of ``x``."""
        (logits, *_) = self.session.run(None, {self.input: x.contiguous().cpu().numpy()})
        return torch.from_numpy(logits).to(x.device)
