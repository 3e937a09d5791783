"""A reward that is worked out by a server elsewhere.

The protocol. Every request is

    POST <url>
    Content-Type: application/json
    Authorization: Bearer <token>          only where ``token_env`` names a variable that holds one

    {"prompts": ["a red car", "a red car"],
     "images": ["<base64 of a PNG file>", "<base64 of a PNG file>"]}

with n images (at most ``batch``; 8 bits, RGB, the pictures that the run saves) and as many prompts.
The answer is status 200 and

    {"scores": [0.25, 1.5]}

with n finite numbers, the higher the better, in the order of the images; other keys are ignored.
A server on FastAPI:

    @app.post("/score")
    def score(body: dict) -> dict:
        pictures = [Image.open(BytesIO(b64decode(text))) for text in body["images"]]
        return {"scores": [my_score(*pair) for pair in zip(pictures, body["prompts"])]}

No answer within ``timeout`` seconds, a connection that fails or breaks, and the statuses 429 and
500 to 599 are tried again up to ``retries`` times, after ``backoff``, 2 ``backoff``, 4 ``backoff``
... seconds (at most 60). Everything else ends the run at once, in one line: a redirection too,
which is not followed, since pictures and token would go to another server, and an answer of more
than a MiB.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.masks import secret_in
from glass_cli.rewards.base import LoadedReward, Reward
from glass_cli.rewards.pixels import to_uint8

if TYPE_CHECKING:
    import httpx
    import torch
    from torch import Tensor

LONGEST_PAUSE = 60.0  # seconds
MOST_BYTES = 2**20  # of an answer: 10,000 scores and more


class _Again(Exception):
    """A failure that may pass; the message says what happened."""


@dataclass(frozen=True)
class Http(Reward):
    """Scores of a server; see this module for what is sent and answered.

    url: where pictures are posted to, http or https.
    batch: pictures a request, 1 or more.
    timeout: seconds a request, above 0, from its start to the last byte of the answer.
    retries: of what may pass, 0 or more.
    backoff: seconds before the first retry, 0 or more, doubled before each further one.
    token_env: name of an environment variable that holds a bearer token, so that no secret is
        written into the run's folder; null for none.
    """

    url: str
    batch: int = 16
    timeout: float = 60.0
    retries: int = 4
    backoff: float = 1.0
    token_env: str | None = None

    def __post_init__(self) -> None:
        held = secret_in(self.url)
        if held is not None:  # asked first: what it is like otherwise is told with the address
            raise ValueError(
                f"reward.url must not hold {held}, which would be written into the run's folder;"
                " put a token into an environment variable and its name into reward.token_env"
            )
        try:
            parts = urlsplit(self.url)
            parts.port  # noqa: B018 - a number that is no port raises here
        except ValueError as error:  # or brackets that are no address of IPv6
            raise ValueError(f"reward.url={self.url}: {one_line(error)}; correct it") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"reward.url={self.url} must be an address such as http://host:8000/score"
            )
        if self.batch < 1:
            raise ValueError(f"reward.batch must be at least 1 (got {self.batch})")
        if self.retries < 0:
            raise ValueError(f"reward.retries must be 0 or more (got {self.retries})")
        if not (math.isfinite(self.timeout) and self.timeout > 0.0):
            raise ValueError(f"reward.timeout must be above 0 seconds (got {self.timeout})")
        if not (math.isfinite(self.backoff) and self.backoff >= 0.0):
            raise ValueError(f"reward.backoff must be 0 seconds or more (got {self.backoff})")
        if self.token_env is None:
            return
        token = os.environ.get(self.token_env, "").strip()
        if not token:
            raise ValueError(
                f"reward.token_env={self.token_env} names an environment variable that is not set;"
                f" export {self.token_env}=TOKEN"
            )
        if not re.fullmatch(r"[!-~]+", token):
            raise ValueError(
                f"reward.token_env={self.token_env} names an environment variable that holds blanks"
                " or letters that no token has; export the token alone"
            )

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedHttp:
        """Asks nothing of the server yet."""
        token = os.environ[self.token_env].strip() if self.token_env is not None else None
        return LoadedHttp(self, token)


def png(levels: Any) -> bytes:
    """A picture, uint8 (H, W, 3), as a PNG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG", compress_level=1)
    return file.getvalue()


class LoadedHttp(LoadedReward):
    """See :class:`glass_cli.rewards.base.LoadedReward`."""

    def __init__(self, settings: Http, token: str | None) -> None:
        self._settings, self._token = settings, token
        self._client = self._new_client()

    def _new_client(self) -> httpx.Client:
        import httpx

        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        return httpx.Client(timeout=self._settings.timeout, headers=headers)

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        """Raises GlassError, one line, where the server cannot be had or answers wrongly."""
        import torch

        pictures = to_uint8(samples)
        scores: list[float] = []
        for start in range(0, len(pictures), self._settings.batch):
            part = pictures[start : start + self._settings.batch]
            images = [base64.b64encode(png(picture)).decode("ascii") for picture in part]
            scores += self._asked({"prompts": [prompt] * len(part), "images": images})
        return torch.tensor(scores, dtype=torch.float64).to(samples)

    def _asked(self, body: dict[str, list[str]]) -> list[float]:
        """The answer to one request, tried again where that may help."""
        settings = self._settings
        for attempt in range(settings.retries + 1):
            try:
                return self._answer(body)
            except _Again as failure:
                if attempt == settings.retries:
                    tries = f"{attempt + 1} tries" if attempt else "1 try"
                    raise GlassError(
                        f"reward.url={settings.url}: {failure}, after {tries}; see to the server,"
                        " or raise reward.timeout or reward.retries"
                    ) from failure
                time.sleep(min(settings.backoff * 2.0**attempt, LONGEST_PAUSE))
        raise AssertionError("not reached")

    def _answer(self, body: dict[str, list[str]]) -> list[float]:
        import httpx

        try:
            status, received = self._within_timeout(body)
        except httpx.TimeoutException as error:
            raise _Again(self._late()) from error
        except httpx.TransportError as error:
            why = re.sub(r"^\[Errno -?\d+\] ", "", one_line(error)) or type(error).__name__
            raise _Again(f"the connection failed ({self._said(why)})") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._wrong(f"cannot be asked ({self._said(str(error))})") from error
        text = received.decode("utf-8", "replace")
        if status == 429 or status >= 500:
            raise _Again(f"status {status} ({self._said(text)})")
        if status != 200:
            raise self._wrong(f"status {status} ({self._said(text)})")
        if len(received) > MOST_BYTES:
            raise self._wrong(f"the answer has more than {MOST_BYTES} bytes")
        return self._scores(text, len(body["images"]))

    def _within_timeout(self, body: dict[str, list[str]]) -> tuple[int, bytes]:
        """Status and answer, of which no more is read than MOST_BYTES and what came with them.

        httpx's own timeout is for each piece of an answer: a server that sends a byte now and then
        would be waited for without end. So the request is made in a thread, which is left alone
        when the time is over; with its client closed it ends by itself.
        """
        client, over = self._client, threading.Event()
        outcome: list[tuple[int, bytes] | Exception] = []

        def ask() -> None:
            received = bytearray()
            try:
                with client.stream("POST", self._settings.url, json=body) as reply:
                    for chunk in reply.iter_bytes():
                        received += chunk
                        if len(received) > MOST_BYTES or over.is_set():
                            break
                    outcome.append((reply.status_code, bytes(received)))
            except Exception as error:  # noqa: BLE001 - raised again by who waits for it
                outcome.append(error)

        thread = threading.Thread(target=ask, name="reward.url", daemon=True)
        thread.start()
        thread.join(self._settings.timeout)
        if not outcome:
            over.set()
            self._client = self._new_client()
            client.close()
            raise _Again(self._late())
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def _late(self) -> str:
        return f"no answer within {self._settings.timeout:g} s"

    def _said(self, text: str) -> str:
        """The beginning of what the server said, without the token, which it may have repeated."""
        if self._token:
            text = text.replace(self._token, "***")
        return one_line(text)[:80]

    def _scores(self, text: str, n: int) -> list[float]:
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):  # of too many brackets
            raise self._wrong(f"the answer is not JSON ({self._said(text)})") from None
        scores = answer.get("scores") if isinstance(answer, dict) else None
        if not isinstance(scores, list):
            raise self._wrong(f'the answer has no list "scores" ({self._said(text)})')
        if len(scores) != n:
            raise self._wrong(f"{len(scores)} scores for {n} images")
        for i, score in enumerate(scores):
            if not _finite(score):
                raise self._wrong(
                    f"score {i} of {n} is {self._said(repr(score))[:40]}, not a finite number"
                )
        return [float(score) for score in scores]

    def _wrong(self, what: str) -> GlassError:
        return GlassError(
            f"reward.url={self._settings.url}: {what}; the answer must be"
            ' {"scores": [one number an image]} (glass_cli/rewards/http.py has the protocol)'
        )


def _finite(score: Any) -> bool:
    try:
        return not isinstance(score, (bool, str)) and math.isfinite(float(score))
    except (TypeError, OverflowError):
        return False
