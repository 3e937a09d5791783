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
... seconds (at most 60). Everything else ends the run at once, in one line.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from glass_cli.common.errors import GlassError, one_line
from glass_cli.rewards.base import LoadedReward, Reward
from glass_cli.rewards.pixels import to_uint8

if TYPE_CHECKING:
    import httpx
    import torch
    from torch import Tensor

LONGEST_PAUSE = 60.0  # seconds


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
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"reward.url={self.url} must be an address such as http://host:8000/score"
            )
        if parts.username or parts.password:
            raise ValueError(
                "reward.url must not hold a name or password, which would be written into the run's"
                " folder; put a token into an environment variable and its name into"
                " reward.token_env"
            )
        if self.batch < 1:
            raise ValueError(f"reward.batch must be at least 1 (got {self.batch})")
        if self.retries < 0:
            raise ValueError(f"reward.retries must be 0 or more (got {self.retries})")
        if not (math.isfinite(self.timeout) and self.timeout > 0.0):
            raise ValueError(f"reward.timeout must be above 0 seconds (got {self.timeout})")
        if not (math.isfinite(self.backoff) and self.backoff >= 0.0):
            raise ValueError(f"reward.backoff must be 0 seconds or more (got {self.backoff})")
        if self.token_env is not None and not os.environ.get(self.token_env):
            raise ValueError(
                f"reward.token_env={self.token_env} names an environment variable that is not set;"
                f" export {self.token_env}=TOKEN"
            )

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedHttp:
        """Asks nothing of the server yet."""
        import httpx

        headers = {}
        if self.token_env is not None:
            headers["Authorization"] = f"Bearer {os.environ[self.token_env]}"
        return LoadedHttp(self, httpx.Client(timeout=self.timeout, headers=headers))


def png(levels: Any) -> bytes:
    """A picture, uint8 (H, W, 3), as a PNG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG", compress_level=1)
    return file.getvalue()


class LoadedHttp(LoadedReward):
    """See :class:`glass_cli.rewards.base.LoadedReward`."""

    def __init__(self, settings: Http, client: httpx.Client) -> None:
        self._settings, self._client = settings, client

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

        settings, began = self._settings, time.monotonic()
        late = f"no answer within {settings.timeout:g} s"
        received = bytearray()
        try:
            with self._client.stream("POST", settings.url, json=body) as reply:
                for chunk in reply.iter_bytes():
                    received += chunk
                    # httpx's own timeout is for each piece of the answer
                    if time.monotonic() - began > settings.timeout:
                        raise _Again(late)
        except httpx.TimeoutException as error:
            raise _Again(late) from error
        except httpx.TransportError as error:
            why = re.sub(r"^\[Errno -?\d+\] ", "", one_line(error)) or type(error).__name__
            raise _Again(f"the connection failed ({why})") from error
        except httpx.HTTPError as error:
            raise self._wrong(f"cannot be asked ({one_line(error)})") from error
        text = received.decode("utf-8", "replace")
        if reply.status_code == 429 or reply.status_code >= 500:
            raise _Again(f"status {reply.status_code} ({one_line(text)[:80]})")
        if reply.status_code != 200:
            raise self._wrong(f"status {reply.status_code} ({one_line(text)[:80]})")
        return self._scores(text, len(body["images"]))

    def _scores(self, text: str, n: int) -> list[float]:
        try:
            answer = json.loads(text)
        except ValueError:
            raise self._wrong(f"the answer is not JSON ({one_line(text)[:80]})") from None
        scores = answer.get("scores") if isinstance(answer, dict) else None
        if not isinstance(scores, list):
            raise self._wrong(f'the answer has no list "scores" ({one_line(text)[:80]})')
        if len(scores) != n:
            raise self._wrong(f"{len(scores)} scores for {n} images")
        for i, score in enumerate(scores):
            if not _finite(score):
                raise self._wrong(f"score {i} of {n} is {repr(score)[:40]}, not a finite number")
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
