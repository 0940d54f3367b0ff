"""Smaller: fewer channels, zeros, eight bits; and what each weighs and costs.

A new way is one frozen dataclass of its options and one line in ``WAYS``.

Its files, in reading order::

    compressed.py     what every way gives back
    dependencies.py   which channels go together
    narrowing.py      which channels go, and the comparison with the original
    pruning.py        structured pruning
    sparsity.py       the smallest weights set to zero
    quantization.py   eight bits
    onnx_network.py   a network for ONNX Runtime
    onnx_files.py     ONNX files, plain and with eight bits
    network_files.py  compressed networks as files
    latency.py        how long an example takes
    measure.py        fine-tuning, and one table for all
    ways.py           WAYS: each way with its options as a value
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.compression.compressed import Compressed, copy_of, uncompressed
    from trainmap.compression.measure import Measured, finetune, inputs_batch, runnable
    from trainmap.compression.network_files import file_of, load_graph, load_weights, save, suffix
    from trainmap.compression.onnx_files import export_onnx, quantize_onnx
    from trainmap.compression.onnx_network import OnnxNetwork
    from trainmap.compression.pruning import classifier, prune_channels
    from trainmap.compression.quantization import check_scales, lower, program_of, quantize, train_quantized
    from trainmap.compression.sparsity import cubic_sparsity, fix_zeros, free_zeros, sparsify, zero_smallest
    from trainmap.compression.ways import (
        Int8,
        Int8Onnx,
        Int8Trained,
        PruneChannels,
        Sparsify,
        Way,
        tuning_epochs,
        way_of,
    )
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "compressed": "Compressed copy_of uncompressed",
            "measure": "Measured finetune inputs_batch runnable",
            "network_files": "file_of load_graph load_weights save suffix",
            "onnx_files": "export_onnx quantize_onnx",
            "onnx_network": "OnnxNetwork",
            "pruning": "classifier prune_channels",
            "quantization": "check_scales lower program_of quantize train_quantized",
            "sparsity": "cubic_sparsity fix_zeros free_zeros sparsify zero_smallest",
            "ways": "Int8 Int8Onnx Int8Trained PruneChannels Sparsify Way tuning_epochs way_of",
        },
    )

# fmt: off
__all__ = [
    "Compressed", "Int8", "Int8Onnx", "Int8Trained", "Measured", "OnnxNetwork", "PruneChannels", "Sparsify", "Way",
    "check_scales", "classifier", "copy_of", "cubic_sparsity", "export_onnx", "file_of", "finetune", "fix_zeros",
    "free_zeros", "inputs_batch", "load_graph", "load_weights", "lower", "program_of", "prune_channels", "quantize",
    "quantize_onnx", "runnable", "save", "sparsify", "suffix", "train_quantized", "tuning_epochs", "uncompressed",
    "way_of", "zero_smallest",
]
# fmt: on
