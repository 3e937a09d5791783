"""As much of a W&B server as its client needs: what it asks is kept, what it logs is there again.

A run that the client asks for to resume it is answered with what that run has logged so far.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY = "me"


class WandbServer:
    """What a server has been told.

    asked: (operation, its variables) of each question of the GraphQL kind, in order.
    history: run id -> step -> the values that were logged there; a step is never taken twice.
    files: names of the files that were sent.
    """

    url = ""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.history: dict[str, dict[int, dict[str, Any]]] = {}
        self.summary: dict[str, dict[str, Any]] = {}
        self.files: list[str] = []

    def variables(self, operation: str) -> list[dict[str, Any]]:
        """Those of each question of one operation."""
        return [variables for name, variables in self.asked if name == operation]

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        operation = query.split("(")[0].split("{")[0].split()[-1]
        self.asked.append((operation, variables))
        name, project = variables.get("name"), variables.get("project")
        if operation == "RunResumeStatus":
            return {"model": {"id": "p", "name": project, "bucket": self._run(str(name))}}
        if operation == "UpsertBucket":
            new = name not in self.history
            self.history.setdefault(str(name), {})
            place = {"id": "p", "name": project, "entity": {"id": "e", "name": ENTITY}}
            bucket = {"id": f"run:{name}", "name": name, "config": variables["config"]}
            return {"upsertBucket": {"bucket": {**bucket, "project": place}, "inserted": new}}
        if operation == "CreateRunFiles":
            self.files += variables["files"]
            sent = [{"name": name, "uploadUrl": f"{self.url}/put"} for name in variables["files"]]
            return {"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": sent}}
        if operation == "ArtifactType":
            return {"project": None}
        if operation == "CreateArtifact":  # that it has all files already
            sequence = {"id": "s", "latestArtifact": None}
            artifact = {"id": "a", "state": "COMMITTED", "artifactSequence": sequence}
            return {"createArtifact": {"artifact": artifact}}
        viewer = {"id": "u", "entity": ENTITY, "username": ENTITY, "teams": {"edges": []}}
        return {"viewer": viewer, "serverInfo": {"features": []}}

    def _run(self, name: str) -> dict[str, Any] | None:
        if name not in self.history:
            return None
        rows = self.history[name]
        tail = [json.dumps({"_step": max(rows), "_runtime": 1})] if rows else []
        return {
            "id": f"run:{name}",
            "name": name,
            "summaryMetrics": json.dumps(self.summary.get(name, {})),
            "displayName": name,
            "logLineCount": 0,
            "historyLineCount": len(rows),
            "eventsLineCount": 0,
            "historyTail": json.dumps(tail),
            "eventsTail": "[]",
            "config": "{}",
            "tags": [],
            "wandbConfig": json.dumps({"t": 1}),
        }

    def stream(self, run: str, sent: dict[str, Any]) -> None:
        """Lines of a run's files, as the client sends them while the run goes on."""
        files = sent.get("files") or {}
        for line in files.get("wandb-history.jsonl", {}).get("content", []):
            row = json.loads(line)
            assert row["_step"] not in self.history[run], "a step is never logged twice"
            self.history[run][row["_step"]] = row
        for line in files.get("wandb-summary.json", {}).get("content", []):
            self.summary[run] = json.loads(line)


@contextmanager
def wandb_server() -> Iterator[WandbServer]:
    """A server on the loopback device; its ``url`` is what WANDB_BASE_URL has to be."""
    known = WandbServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self._body())
            if self.path.startswith("/graphql"):
                self._reply({"data": known.answer(body["query"], body.get("variables") or {})})
            else:
                known.stream(self.path.split("/")[-2], body)
                self._reply({})

        def do_PUT(self) -> None:
            self._body()
            self._reply({})

        def _body(self) -> bytes:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body

        def _reply(self, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        known.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield known
        server.shutdown()
