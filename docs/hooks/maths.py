"""Mathematics as MathML, which browsers draw by themselves: no script and no network.

pymdownx.arithmatex marks $...$ and $$...$$ in a page; latex2mathml translates them. The font lies
in docs/assets/, since not every machine has one with mathematics.
"""

from __future__ import annotations

import html
import logging
import re
from typing import Any

from latex2mathml.converter import convert
from latex2mathml.exceptions import MissingSuperScriptOrSubscriptError

log = logging.getLogger("mkdocs.hooks.maths")
_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)

# MathML Core has no mathvariant beside "normal": such letters are characters of their own
_VARIANT = re.compile(r'<mi mathvariant="(double-struck|script)">(\w)</mi>')
_LETTERS = {"double-struck": "\U0001d538", "script": "\U0001d49c"}  # of A
_ELSEWHERE = {"\U0001d53a": "ℂ", "\U0001d547": "ℙ", "\U0001d549": "ℝ"}  # older than the others
_TILDE = "<mi>&#x0007E;</mi>"  # what latex2mathml makes of \\sim


def on_page_content(content: str, page: Any, **_: Any) -> str:
    """The page's HTML with its formulas translated; one that cannot be is a warning."""

    def translated(latex: str, display: str) -> str:
        try:
            return repaired(str(convert(html.unescape(latex).strip(), display=display)))
        except (MissingSuperScriptOrSubscriptError, IndexError, ValueError) as error:
            log.warning("%s: a formula cannot be read (%r): %s", page.file.src_uri, error, latex)
            return latex

    content = _INLINE.sub(lambda found: translated(found[1], "inline"), content)
    return _BLOCK.sub(
        lambda found: f'<div class="formula">{translated(found[1], "block")}</div>', content
    )


def repaired(mathml: str) -> str:
    """What browsers need and latex2mathml does not write."""

    def letter(found: re.Match[str]) -> str:
        shifted = chr(ord(_LETTERS[found[1]]) + ord(found[2]) - ord("A"))
        return f'<mi mathvariant="normal">{_ELSEWHERE.get(shifted, shifted)}</mi>'

    mathml = re.sub(r"<mi>(log|exp)</mi>(?=<mi|<msub)", r'\g<0><mspace width="0.17em"/>', mathml)
    return _VARIANT.sub(letter, mathml).replace(_TILDE, "<mo>∼</mo>")
