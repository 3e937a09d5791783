"""As much of a W&B server as a run needs to record online, which fails when it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROJECT = {"id": "p", "name": "glass", "entity": {"id": "e", "name": "me"}}
VIEWER = {"id": "x", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}


class Service(ThreadingHTTPServer):
    """A server on the loopback device.

    how: what becomes of it when ``/fail`` is asked for: "closed" connections, "silent", "errors"
        (500), "nonsense" (answers of another shape), or "fine".
    paths: what was asked for, in order.
    """

    daemon_threads = True

    def __init__(self, how: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.how, self.failing = how, False
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None: ...


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.paths.append(self.path)
        if self.path == "/fail":
            self.server.failing = True
            return self._answer({})
        how = self.server.how if self.server.failing else "fine"
        if how == "silent":
            time.sleep(600)
        if how in ("closed", "silent"):
            self.close_connection = True
            self.connection.close()
            return None
        return self._answer(
            self._reply(body) if how == "fine" else {}, 500 if how == "errors" else 200
        )

    do_GET = do_PUT = do_POST

    def _reply(self, body: bytes) -> Any:
        if self.path != "/graphql":
            return {}
        asked = json.loads(body)
        query, given = asked["query"], asked.get("variables", {})
        if "upsertBucket" in query:
            names = {"name": given.get("name"), "displayName": given.get("displayName")}
            bucket = {"id": "b", "historyLineCount": 0, "project": PROJECT, **names}
            return {"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}}
        if "createRunFiles" in query:
            files = [
                {"name": name, "uploadUrl": f"{self.server.url}/upload/{i}"}
                for i, name in enumerate(given["files"])
            ]
            made = {"runID": given["run"], "uploadHeaders": [], "files": files}
            return {"data": {"createRunFiles": made}}
        if "artifact(name:" in query:
            return {"data": {"project": {"artifact": None}}}
        if "createArtifact(" in query:  # one that it has already, so that nothing is uploaded
            artifact = {
                "id": "a",
                "state": "COMMITTED",
                "artifactSequence": {"latestArtifact": None},
            }
            return {"data": {"createArtifact": {"artifact": artifact}}}
        if "viewer" in query:
            return {"data": {"viewer": VIEWER}}
        return {"data": {}}

    def _answer(self, value: Any, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def wandb_service(how: str) -> Iterator[Service]:
    with Service(how) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield service
        service.shutdown()
