"""Text that users, files and libraries may bring, and that no output may take for its own language."""

from __future__ import annotations

HOSTILE = {
    "markup that ends": "[/data/x.npz]",
    "markup": "[bold red]loud[/bold red]",
    "link": "[link=http://x.org]here[/link]",
    "emoji code": ":skull: \N{SKULL}",
    "format": "{b} {0} {} {a.__class__} }{",
    "percent": "%s %d %(name)s %",
    "mathtext": "$\\frac$ $x_1^2$ $",
    "html": "<script>alert(1)</script> &lt; <img src=x onerror=alert(1)>",
    "quotes": "\"double\" 'single' `code` ``",
    "markdown": "# [a](http://x.org) **b** _c_ ~~d~~ ![e](f.png) | g",
    "item": "- 1. > not a list",
    "latex": "\\input{x} ^ ~ { } % & # _ $ [1] *",
    "formula": "=cmd|' /C calc'!A0",
    "plus": "+1+1",
    "escape": "\x1b[31mred\x1b]0;title\x07",
    "bidi": "abc\u202egpj.exe",
    "lines": "one\ntwo\rthree\tfour\u2028five",
    "long": "long" * 125,
    "wide": "\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 40,
}
