"""How amounts are written for people: shares, FLOPs, seconds, bytes."""

from __future__ import annotations


def show_percent(share: float) -> str:
    """``33 %``, and below a tenth ``3.3 %``."""
    return f"{100 * share:.0f} %" if share >= 0.0995 or share == 0 else f"{100 * share:.1f} %"


def show_flops(flops: float) -> str:
    """``1.2 GFLOPs``: three digits and the unit that suits."""
    for unit, name in ((1e15, "PFLOPs"), (1e12, "TFLOPs"), (1e9, "GFLOPs"), (1e6, "MFLOPs"), (1e3, "kFLOPs")):
        if flops >= 0.9995 * unit:
            return f"{flops / unit:.3g} {name}"
    return f"{flops:.3g} FLOPs"


def show_seconds(seconds: float) -> str:
    """``1.2 s``, ``12 min``, ``3.4 h``."""
    if seconds < 99.5:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"


def show_bytes(count: int) -> str:
    """``1.2 MB``: three digits at most."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} bytes"
