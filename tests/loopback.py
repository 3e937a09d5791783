"""For the tests of W&B: a user without an account, and a server on the loopback device."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest


def forget_wandb(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Makes the user one with an empty ``home``, no W&B account and no proxies."""
    for key in list(os.environ):
        if key.startswith("WANDB_") or key.lower().endswith("_proxy"):
            monkeypatch.delenv(key)
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / "netrc"))


def http_reply(body: str, status: str = "200 OK") -> bytes:
    """A whole HTTP answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return (head + body).encode()


VIEWER = http_reply('{"data": {"viewer": {"id": "x"}}}')


@contextmanager
def serving(replies: Sequence[bytes]) -> Iterator[str]:
    """The address of a server that gives one reply a request, and after the last one silence."""
    planned = list(replies)
    clients: list[socket.socket] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            clients.append(client)
            if planned:
                client.recv(65536)
                client.sendall(planned.pop(0))
                client.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        for client in clients:
            client.close()
