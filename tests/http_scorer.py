"""A server on the loopback device that scores pictures, or fails in a known way."""

from __future__ import annotations

import base64
import gzip
import io
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

Reply = Callable[["Handler", dict[str, Any]], None]


class Handler(BaseHTTPRequestHandler):
    """Keeps what it was sent and answers by the server's next plan; the last one stays."""

    server: Server

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((dict(self.headers), json.loads(text)))
        plans = self.server.plans
        plan = plans.pop(0) if len(plans) > 1 else plans[0]
        plan(self, self.server.seen[-1][1])

    def log_message(self, *_: Any) -> None:
        """Keeps quiet."""

    def say(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.plans: list[Reply] = [brightness]
        self.over = threading.Event()
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/score"

    def handle_error(self, *_: Any) -> None:
        """A client that went away is what some tests are about."""


def brightness(handler: Handler, body: dict[str, Any]) -> None:
    files = [io.BytesIO(base64.b64decode(text, validate=True)) for text in body["images"]]
    scores = [float(np.asarray(Image.open(file)).mean()) for file in files]
    handler.say(200, json.dumps({"scores": scores, "more": "is ignored"}))


def saying(status: int, text: str) -> Reply:
    return lambda handler, body: handler.say(status, text)


def half(handler: Handler, body: dict[str, Any]) -> None:
    """Dies in the middle of its answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b'{"scores": [')
    handler.wfile.flush()
    handler.connection.close()


def drop(handler: Handler, body: dict[str, Any]) -> None:
    """Hangs up without a word."""
    handler.close_connection = True
    handler.connection.close()


def hang(handler: Handler, body: dict[str, Any]) -> None:
    handler.server.over.wait(20)


def drip(handler: Handler, body: dict[str, Any]) -> None:
    """A byte now and then, so that no single read takes long."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    while not handler.server.over.wait(0.1):
        handler.wfile.write(b" ")
        handler.wfile.flush()


def drip_headers(handler: Handler, body: dict[str, Any]) -> None:
    """The same before the answer begins."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(1000):
        if handler.server.over.wait(0.1):
            return
        handler.wfile.write(b"X-%d: y\r\n" % number)
        handler.wfile.flush()


def without_end(handler: Handler, body: dict[str, Any]) -> None:
    """100 MB, unless the client goes away before."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(100 * 2**20))
    handler.end_headers()
    for _ in range(100 * 16):
        handler.wfile.write(b" " * 2**16)
        handler.server.sent += 2**16


def packed(handler: Handler, body: dict[str, Any]) -> None:
    """100 MB in 100 KB."""
    text = gzip.compress(b"[" * (100 * 2**20), 9)
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(text)))
    handler.end_headers()
    handler.wfile.write(text)


def to(place: str, status: int = 302) -> Reply:
    def redirect(handler: Handler, body: dict[str, Any]) -> None:
        handler.send_response(status)
        handler.send_header("Location", place)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return redirect


def repeats(handler: Handler, body: dict[str, Any]) -> None:
    handler.say(403, f"not allowed: {handler.headers['Authorization']}")
