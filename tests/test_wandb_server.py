"""What is known of a W&B account before wandb is imported."""

from __future__ import annotations

import base64
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from loopback import VIEWER, forget_wandb, http_reply, serving

from glass_cli.output.wandb_server import SERVER, account, server_problem

KEY = "a" * 40


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_wandb(monkeypatch, tmp_path / "home")


def test_account_is_found_as_wandb_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    assert account() == (SERVER, None, False)
    folder = home / ".config" / "wandb"
    folder.mkdir(parents=True)
    (folder / "settings").write_text("[default]\nbase_url = http://own/\napi_key = c\n", "utf-8")
    assert account() == ("http://own", "c", True)
    (home / "netrc").write_text(
        "machine own login user password b\nmachine api.wandb.ai login user password n\n", "utf-8"
    )
    (home / "netrc").chmod(0o600)
    assert account() == ("http://own", "b", True)
    monkeypatch.setenv("WANDB_BASE_URL", SERVER)
    assert account() == (SERVER, "n", True)
    monkeypatch.delenv("NETRC")
    assert account() == (SERVER, "c", True)
    (home / "netrc").rename(home / ".netrc")
    assert account() == (SERVER, "n", True)
    monkeypatch.setenv("WANDB_API_KEY", "a")
    assert account() == (SERVER, "a", True)


def test_broken_settings_files_are_no_account(tmp_path: Path) -> None:
    folder = tmp_path / "home" / ".config" / "wandb"
    folder.mkdir(parents=True)
    (folder / "settings").write_bytes(b"\xff\xfe[[[ no")
    (tmp_path / "home" / "netrc").write_text("machine\n", "utf-8")
    assert account() == (SERVER, None, False)


@pytest.mark.parametrize(
    ("replies", "words"),
    [
        ([VIEWER], None),
        ([http_reply('{"data": {"viewer": null}}')], "does not know the API key"),
        ([http_reply("no", "401 Unauthorized")], "refuses the API key"),
        ([http_reply("no", "500 Oops")], "answers 500 Oops"),
        ([http_reply("<html>")], None),
        ([b"nonsense\r\n\r\n"], None),
        ([], "does not answer"),
    ],
)
def test_what_is_wrong_with_a_server(replies: list[bytes], words: str | None) -> None:
    with serving(replies) as url:
        found = server_problem(url, KEY, 30.0 if replies else 0.5)
    assert (found is None) == (words is None)
    assert (words or "") in (found or "")


def test_the_key_is_sent_as_wandb_sends_it() -> None:
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"data": {"viewer": null}}')

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as own:
        threading.Thread(target=own.serve_forever, daemon=True).start()
        assert server_problem(f"http://127.0.0.1:{own.server_port}", None, 30.0) is None
        server_problem(f"http://127.0.0.1:{own.server_port}", KEY, 30.0)
        own.shutdown()
    assert seen == [None, "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()]
