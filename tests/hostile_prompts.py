"""Prompts that were written to do harm, or do it by accident."""

from __future__ import annotations

_UP = "../" * 12
PATHS = [
    "../../../../etc/passwd", "/etc/passwd", "/tmp/hostile/absolute", "..", ".", "~", "~/hostile",
    "C:\\Windows\\hostile.txt", "\\\\server\\share\\x", "file:///etc/passwd", "con", "aux.txt",
    f"{_UP}tmp/hostile.png", "images/00000/0000.png", "a/b/c", ".lock",
]  # fmt: skip
SHELL = [
    "$(touch hostile)", "`touch hostile`", "; touch hostile", "| touch hostile",
    "&& touch hostile", "$(reboot)",
    "$HOME", "${oc.env:HOME}",
    "${hydra:runtime.cwd}", "${now:%Y}", "a=b", "+a=b", "~reward", "-m",
    "--fresh", "choice(a b)", "[a, b", "{a: 1", "'", '"', "\\", "a: b # c", "!!python/x",
]  # fmt: skip
PAGES = [
    "<script>document.title='hostile'</script>", "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>", "\"><svg onload=alert(1)>", "' onmouseover='alert(1)",
    "<!--", "]]>", "</title><h1>x", "javascript:alert(1)", "&lt;b&gt; &amp;amp;",
    "<a href='javascript:alert(1)'>x</a>", "<style>*{display:none}</style>", "{{ 7*7 }}{% raw %}",
    "<base href=//evil.example>", "<meta http-equiv=refresh content=0>",
]  # fmt: skip
FORMULAS = ["=1+1", "@SUM(A1)", "+1+1", "-1+1", '=HYPERLINK("http://evil.example","x")']
LETTERS = [
    "a" * 10_000, "red\x1b[31m\x07bell", "abc\u202edef\u2066", "nul\x00byte", "🍎🚗👩‍👩‍👧‍👦",
    "é" * 50, "\ufeffbom", "%s %d %n {0} {x.__class__}", "tab\tend", "\u0301combining", "ﷺ" * 20,
]  # fmt: skip
PROMPTS = [*PATHS, *SHELL, *PAGES, *FORMULAS, *LETTERS]
