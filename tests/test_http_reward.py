"""reward=http against a real server on the loopback device: right, slow, wrong, dying."""

from __future__ import annotations

import base64
import io
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from http_scorer import (
    Reply,
    Server,
    brightness,
    drip,
    drip_headers,
    drop,
    half,
    hang,
    packed,
    repeats,
    saying,
    to,
    without_end,
)
from PIL import Image
from torch import Tensor

from glass_cli.cli import main
from glass_cli.common.errors import GlassError
from glass_cli.launch import launch
from glass_cli.rewards.http import Http, LoadedHttp

CPU = torch.device("cpu")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    made = Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield made
    made.over.set()
    made.shutdown()
    made.server_close()


def loaded(server: Server, **settings: Any) -> LoadedHttp:
    quick = {"timeout": 60.0, "retries": 3, "backoff": 0.01}
    return Http(server.url, **{**quick, **settings}).load(CPU, torch.float32)


def images(count: int = 5) -> Tensor:
    return torch.rand(count, 3, 6, 8, generator=torch.Generator().manual_seed(1))


def test_pictures_go_as_they_are_saved_and_scores_come_back_in_order(server: Server) -> None:
    x = images()
    scores = loaded(server, batch=2).score(x, 'a "dog", naïve 🍎')
    levels = (x * 255 + 0.5).to(torch.uint8)
    assert scores.dtype == torch.float32
    assert scores.tolist() == pytest.approx(levels.float().mean((1, 2, 3)).tolist(), rel=1e-6)
    assert [len(body["images"]) for _, body in server.seen] == [2, 2, 1]
    assert [body["prompts"] for _, body in server.seen] == [
        ['a "dog", naïve 🍎'] * n for n in (2, 2, 1)
    ]
    headers, body = server.seen[0]
    assert set(body) == {"prompts", "images"} and headers["Content-Type"] == "application/json"
    with Image.open(io.BytesIO(base64.b64decode(body["images"][1]))) as picture:
        assert picture.format == "PNG" and picture.mode == "RGB" and picture.size == (8, 6)
        assert np.array_equal(np.asarray(picture), levels[1].permute(1, 2, 0).numpy())
    assert "Authorization" not in headers


def test_a_token_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORER_TOKEN", "s3cret")
    loaded(server, token_env="SCORER_TOKEN").score(images(1), "a")
    assert server.seen[0][0]["Authorization"] == "Bearer s3cret"
    monkeypatch.delenv("SCORER_TOKEN")
    with pytest.raises(ValueError, match=r"reward\.token_env=SCORER_TOKEN names an environment"):
        Http(server.url, token_env="SCORER_TOKEN")


@pytest.mark.parametrize(
    "failure", [saying(500, "oops"), saying(503, ""), saying(429, ""), half, drop]
)
def test_what_passes_is_tried_again(server: Server, failure: Reply) -> None:
    server.plans = [failure, failure, brightness]
    scores = loaded(server).score(images(2), "a")
    assert len(server.seen) == 3 and float(scores.min()) > 0.0


def test_a_slow_answer_is_tried_again(server: Server) -> None:
    server.plans = [hang, drip, brightness]
    began = time.monotonic()
    # a busy machine may be late with the third answer too
    scores = loaded(server, timeout=0.4, retries=50).score(images(2), "a")
    assert len(server.seen) >= 3 and float(scores.min()) > 0.0
    assert time.monotonic() - began > 0.8


def test_pauses_double(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("glass_cli.rewards.http.time.sleep", pauses.append)
    server.plans = [saying(500, "oops")]
    with pytest.raises(GlassError, match=r"status 500 \(oops\), after 9 tries; see to the server"):
        loaded(server, retries=8, backoff=0.5).score(images(1), "a")
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert len(server.seen) == 9


# fmt: off
LASTING = {
    "down for good": (saying(502, "<b>bad\nday"), 4, r"status 502 \(<b>bad day\), after 4 tries"),
    "always half an answer": (half, 4, r"the connection failed \(.+\), after 4 tries"),
    "always hangs up": (drop, 4, r"the connection failed \(.+\), after 4 tries"),
    "no such page": (saying(404, "not here"), 1, r"status 404 \(not here\); the answer must be"),
    "forbidden": (saying(401, ""), 1, "status 401"),
    "a redirect": (saying(307, ""), 1, "status 307"),
    "not JSON": (saying(200, "<html>\nhello"), 1, r"the answer is not JSON \(<html> hello\)"),
    "deep": (saying(200, "[" * 100_000), 1, r"the answer is not JSON \(\["),
    "100 MB": (without_end, 1, "the answer has more than 1048576 bytes"),
    "100 MB packed": (packed, 1, "the answer has more than 1048576 bytes"),
    "empty": (saying(200, ""), 1, "the answer is not JSON"),
    "a bare list": (saying(200, "[1.0, 2.0]"), 1, 'the answer has no list "scores"'),
    "another key": (saying(200, '{"score": 1}'), 1, 'the answer has no list "scores"'),
    "too few": (saying(200, '{"scores": [1.0]}'), 1, "1 scores for 2 images"),
    "too many": (saying(200, '{"scores": [1, 2, 3]}'), 1, "3 scores for 2 images"),
    "NaN": (saying(200, '{"scores": [1.0, NaN]}'), 1, "score 1 of 2 is nan, not a finite number"),
    "infinite": (saying(200, '{"scores": [1e999, 1]}'), 1, "score 0 of 2 is inf"),
    "null": (saying(200, '{"scores": [1.0, null]}'), 1, "score 1 of 2 is None"),
    "words": (saying(200, '{"scores": ["1", "2"]}'), 1, "score 0 of 2 is '1'"),
    "too large": (saying(200, '{"scores": [1, 1' + "0" * 400 + "]}"), 1, "score 1 of 2 is 1000"),
}
# fmt: on


@pytest.mark.parametrize(("plan", "asked", "message"), LASTING.values(), ids=LASTING.keys())
def test_what_lasts_is_one_line(server: Server, plan: Reply, asked: int, message: str) -> None:
    server.plans = [plan]
    with pytest.raises(GlassError, match=message) as caught:
        loaded(server).score(images(2), "a")
    assert "\n" not in str(caught.value) and server.url in str(caught.value)
    assert len(server.seen) == asked


@pytest.mark.parametrize("plan", [drip, drip_headers], ids=["body", "headers"])
def test_a_slow_drip_is_bounded(server: Server, plan: Reply) -> None:
    """Each byte comes in time, all of them never."""
    server.plans = [plan]
    began = time.monotonic()
    with pytest.raises(GlassError, match=r"no answer within 0\.5 s, after 2 tries"):
        loaded(server, timeout=0.5, retries=1).score(images(1), "a")
    assert 1.0 <= time.monotonic() - began < 50.0
    server.plans = [brightness]
    assert float(loaded(server).score(images(1), "a")) > 0.0


def test_a_large_answer_is_not_read_to_its_end(server: Server) -> None:
    server.plans = [without_end]
    with pytest.raises(GlassError, match="more than 1048576 bytes"):
        loaded(server).score(images(1), "a")
    assert server.sent < 50 * 2**20


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirection_is_followed(
    server: Server, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """Pictures and token stay with the server that was named."""
    monkeypatch.setenv("SCORER_TOKEN", "s3cret")
    server.plans = [to(server.url.replace("/score", "/elsewhere"), status), brightness]
    with pytest.raises(GlassError, match=f"status {status}"):
        loaded(server, token_env="SCORER_TOKEN").score(images(1), "a")
    assert len(server.seen) == 1


def test_a_token_that_a_server_repeats_is_not_shown(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCORER_TOKEN", "s3cret")
    server.plans = [repeats]
    with pytest.raises(GlassError, match=r"status 403 \(not allowed: Bearer \*\*\*\)") as caught:
        loaded(server, token_env="SCORER_TOKEN").score(images(1), "a")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("token", ["s3 cret", "s3cret\nX-More: 1", "sécret", "s3cret\x00"])
def test_a_token_that_is_none_is_not_shown(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setattr("glass_cli.rewards.http.os.environ", {"SCORER_TOKEN": token})
    with pytest.raises(
        ValueError, match=r"reward\.token_env=SCORER_TOKEN .* token alone"
    ) as caught:
        Http("http://host/score", token_env="SCORER_TOKEN")
    assert "cret" not in str(caught.value)


def test_nobody_is_there(server: Server) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(GlassError, match=r"the connection failed \(.*refused.*\), after 1 try;"):
        loaded(server, retries=0).score(images(1), "a")


def test_from_the_command_line(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCORER_TOKEN", "s3cret")
    words = ["reward=http", f"reward.url={server.url}", "reward.backoff=0.01", "particles=3"]
    words += ["reward.token_env=SCORER_TOKEN"]
    words += [
        "sampler.transitions=2",
        "sampler.steps=1",
        "wandb.mode=disabled",
        "steering.lam=auto",
    ]
    assert launch([*words, "hydra.run.dir=run"]) == 0
    records = [json.loads(line) for line in Path("run/particles.jsonl").read_text().splitlines()]
    for record in records:
        shown = float(np.asarray(Image.open(Path("run") / record["file"])).mean())
        assert record["reward"] == pytest.approx(shown, rel=1e-6)
    monkeypatch.setattr(sys, "argv", ["glass", "report", "run"])
    with pytest.raises(SystemExit):
        main()
    assert server.seen[0][0]["Authorization"] == "Bearer s3cret"
    kept = [path for path in Path("run").rglob("*") if path.is_file()]
    assert Path("run/report.html") in kept
    assert not [path for path in kept if b"s3cret" in path.read_bytes()]
    # half-way through the second run the server begins to fail
    server.plans = [brightness, saying(500, "oops")]
    assert launch([*words, "hydra.run.dir=run2"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("glass: ") and "status 500 (oops), after 5 tries" in said
    assert "s3cret" not in said
    assert not Path("run2/summary.json").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "host:80"}, "reward.url=host:80 must be an address such as http://"),
        ({"url": "ftp://host/x"}, "must be an address such as http://"),
        ({"url": "http://me:pass@host/x"}, "must not hold a name or password"),
        ({"url": "http://host/x?api_key=pass"}, "must not hold api_key=, which would be written"),
        ({"url": "http://host/x?a=1&access_token=pass"}, "must not hold access_token="),
        ({"url": "http://host/x#token=pass"}, "must not hold token="),
        ({"url": "http://host/x;access%5Ftoken=pass"}, "must not hold access_token="),
        ({"url": "http://me:pass@host:99999/x"}, "must not hold a name or password"),
        ({"url": "http://me:pass@[host/x"}, "must not hold a name or password"),
        ({"url": "ftp://me:pass@host/x"}, "must not hold a name or password"),
        ({"url": "//me:pass@host/x"}, "must not hold a name or password"),
        ({"url": "pass@host"}, "must not hold a name or password"),
        ({"url": "http://host:99999/x"}, "reward.url=http://host:99999/x: Port out of range"),
        ({"url": "http://[host/x"}, "reward.url=http://.host/x: Invalid IPv6 URL"),
        ({"batch": 0}, "reward.batch must be at least 1"),
        ({"retries": -1}, "reward.retries must be 0 or more"),
        ({"timeout": 0.0}, "reward.timeout must be above 0 seconds"),
        ({"backoff": -1.0}, "reward.backoff must be 0 seconds or more"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Http(**{"url": "http://host/score", **settings})
    assert "pass" not in str(caught.value).replace("password", "")
