"""What is secret in a web address, and text without it."""

from __future__ import annotations

import re
from urllib.parse import unquote

# a name or password before the host
_USER = re.compile(r"(?<=//)[^/?#\s]*@")
# a value in the query, the parameters or the fragment
_VALUE = re.compile(r"([?&;#])([^=&;#?\s]*)=([^&;#\s]*)")
_SECRET = re.compile(
    r"(^|[-_]|api)key$|token|secret|passw|^auth(orization)?$|credential|^sig(nature)?$",
    re.IGNORECASE,
)


def secret_in(url: str) -> str | None:
    """What an address holds that is secret, in words; None where it holds nothing of the kind."""
    for _, name, _ in _VALUE.findall(url):
        if _SECRET.search(unquote(name)):
            return f"{unquote(name)}="
    authority = re.split(r"[/?#]", re.sub(r"^([^/?#]*:)?//", "", url), maxsplit=1)[0]
    return "a name or password" if "@" in authority else None


def masked(text: str) -> str:
    """``text`` with *** in place of what is secret in the addresses in it."""

    def value(match: re.Match[str]) -> str:
        mark, name, _ = match.groups()
        return f"{mark}{name}=***" if _SECRET.search(unquote(name)) else match[0]

    return _VALUE.sub(value, _USER.sub("***@", text))
