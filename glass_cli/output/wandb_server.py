"""What can be known of a W&B account without importing wandb: its server, its key, its health."""

from __future__ import annotations

import configparser
import netrc
import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from glass_cli.common.files import expanded

SERVER = "https://api.wandb.ai"


def account() -> tuple[str, str | None, bool]:
    """(server address, API key or None, whether any credentials are set), as wandb finds them.

    Looks at the environment, the netrc file and wandb's settings file, in this order.
    """
    stored = _settings()
    url = (os.environ.get("WANDB_BASE_URL") or stored.get("base_url") or SERVER).rstrip("/")
    key = os.environ.get("WANDB_API_KEY") or None
    if key is None and os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return url, None, True
    key = key or _netrc_key(url) or stored.get("api_key") or None
    return url, key, key is not None


def server_problem(url: str, key: str | None, seconds: float) -> str | None:
    """Why the server at ``url`` is of no use to ``key``, in words; None where it seems fine.

    Waits up to ``seconds`` for the connection and again for the answer. Errors that wandb, with
    its own proxies and certificates, might not meet count as fine.
    """
    import base64
    import json
    import ssl
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    headers = {"Content-Type": "application/json", "User-Agent": "glass"}
    if key is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(f"api:{key}".encode()).decode()
    body = json.dumps({"query": "query{viewer{id}}"}).encode()
    try:
        with urlopen(Request(f"{url}/graphql", body, headers), timeout=seconds) as reply:
            viewer = json.load(reply)["data"]["viewer"]
            return f"{url} does not know the API key" if key and viewer is None else None
    except HTTPError as error:
        if error.code >= 500:
            return f"{url} answers {error.code} {error.reason}"
        return f"{url} refuses the API key" if error.code in (401, 403) else None
    except URLError as error:
        if isinstance(error.reason, ssl.SSLError):
            return None
        return f"{url} does not answer ({error.reason})"
    except OSError as error:
        return f"{url} does not answer ({error})"
    except (HTTPException, ValueError, KeyError, TypeError):
        return None


def _settings() -> dict[str, str]:
    folder = os.environ.get("WANDB_CONFIG_DIR") or str(expanded("~/.config/wandb"))
    parser = configparser.ConfigParser(interpolation=None)
    with suppress(OSError, configparser.Error, UnicodeDecodeError):
        parser.read(Path(folder) / "settings", encoding="utf-8")
    return dict(parser["default"]) if parser.has_section("default") else {}


def _netrc_key(url: str) -> str | None:
    named = os.environ.get("NETRC")
    home = expanded("~")
    for path in [expanded(named)] if named else [home / ".netrc", home / "_netrc"]:
        with suppress(OSError, netrc.NetrcParseError, UnicodeDecodeError):
            entry = netrc.netrc(path).authenticators(urlsplit(url).netloc)
            return entry[2] if entry else None
    return None
