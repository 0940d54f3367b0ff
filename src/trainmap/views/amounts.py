"""How amounts are written for people: shares, FLOPs, seconds, bytes."""

from __future__ import annotations


def show_percent(share: float) -> str:
    """``33 %``, and below a tenth ``3.3 %``."""
    return f"{100 * share:.0f} %" if share >= 0.0995 or share == 0 else f"{100 * share:.1f} %"


def show_flops(flops: float) -> str:
    """``1.2 GFLOPs``: three digits and the unit that suits."""
    for power, letter in ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if flops >= 0.9995 * 10**power:
            return f"{flops / 10**power:.3g} {letter}FLOPs"
    return f"{flops:.3g} FLOPs"


def show_seconds(seconds: float) -> str:
    """``1.2 s``, ``12 min``, ``3.4 h``, ``12 days``."""
    if seconds < 99.5:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    if seconds < 99.5 * 3600:
        return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:,.0f} days"


def show_bytes(count: int) -> str:
    """``1.2 MB``: three digits at most."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} bytes"
