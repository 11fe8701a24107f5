"""The client of one WebUI: which models it has, drawing, and how far that is.

Servers differ. All of them draw; a list of models, the progress of a task and what an image was
made with are each missing somewhere, and are used where they are there.
"""

import base64
import binascii
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
from requests import exceptions
from urllib3.exceptions import NewConnectionError, ReadTimeoutError

from api.config import WebuiServer
from api.logs import redact

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 10.0
# A task is looked at while its lease runs and while a worker has to stop: no time to wait long.
GLANCE_SECONDS = 2.0
LARGEST_ANSWER = 64 * 1024 * 1024
LARGEST_SMALL_ANSWER = 4 * 1024 * 1024
LONGEST_SAID = 200

HASH = re.compile(r"\s*\[[0-9a-fA-F]+\]$")
EXTENSION = re.compile(r"\.(safetensors|ckpt|pt|pth|sft|gguf)$", re.IGNORECASE)
NOT_THERE = (404, 405, 501)
REFUSED = (400, 404, 422)
LARGEST_SEED = 2**63 - 1


class MakingError(Exception):
    """An attempt came to nothing; `code` is one that the queue knows."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def is_permanent(self) -> bool:
        """Whether it would come to the same another time."""
        return self.code == "bad_request"


class AwayError(Exception):
    """The server cannot be asked for anything, and nothing began there."""


@dataclass(frozen=True)
class Order:
    """What is to be drawn, and what the task is called."""

    task_id: str
    model: str
    prompt: str
    negative_prompt: str
    options: dict[str, Any]
    seed: int


@dataclass(frozen=True)
class Drawn:
    """What came back: some bytes, and the seed that they were drawn with."""

    data: bytes
    seed: int


@dataclass(frozen=True)
class Progress:
    """How a task stands at its server."""

    is_active: bool
    percent: int | None


class Webui:
    """One server. `draw` may run in a thread of its own beside everything else."""

    def __init__(self, server: WebuiServer) -> None:
        self.server = server
        self._session = _session(server)

    def close(self) -> None:
        self._session.close()

    def models(self) -> frozenset[str]:
        """The names of the checkpoints that it can draw with."""
        with _away_if_unreachable():
            status, content = self._ask("GET", "sdapi/v1/sd-models", ANSWER_SECONDS)
        if status in NOT_THERE:
            if self.server.models is None:
                raise AwayError("it has no list of models: name them by #models= behind its URL")
            return frozenset(self.server.models)
        _raise_for_access(status)
        listed = _parse(content)
        if status != 200:
            raise AwayError(f"it answers {status} when it is asked for its models")
        if not isinstance(listed, list):
            raise AwayError("what it answers is no list of models")
        names: set[str] = set()
        for each in listed:
            if isinstance(each, dict):
                names |= {
                    bare_name(name)
                    for name in (each.get("model_name"), each.get("title"))
                    if isinstance(name, str) and name
                }
        return frozenset(names)

    def progress(self, task_id: str) -> Progress | None:
        """How this task stands; None where the server does not say."""
        body = {"id_task": task_id, "id_live_preview": -1, "live_preview": False}
        try:
            status, content = self._ask("POST", "internal/progress", GLANCE_SECONDS, body)
        except (exceptions.RequestException, MakingError):
            return None
        found = _parse(content)
        if status != 200 or not isinstance(found, dict):
            return None
        return Progress(is_active=found.get("active") is True, percent=_percent(found))

    def interrupt_if_active(self, task_id: str) -> bool:
        """Stop this task, if it is the one that is being drawn; whether it was.

        The server stops whatever runs, so it is not asked to on a mere guess.
        """
        progress = self.progress(task_id)
        if progress is None or not progress.is_active:
            return False
        try:
            self._ask("POST", "sdapi/v1/interrupt", GLANCE_SECONDS, {})
        except (exceptions.RequestException, MakingError):
            return False
        return True

    def draw(self, order: Order, seconds: float) -> Drawn:
        """Let it be drawn, and wait for it for so many seconds."""
        deadline = time.monotonic() + seconds
        body = {
            **order.options,
            "prompt": order.prompt,
            "negative_prompt": order.negative_prompt,
            "seed": order.seed,
            "batch_size": 1,
            "n_iter": 1,
            "send_images": True,
            "save_images": False,
            "force_task_id": order.task_id,
            "override_settings": {"sd_model_checkpoint": order.model},
            # The next cover often wants the same one; putting it back takes as long as drawing.
            "override_settings_restore_afterwards": False,
        }
        # A session of its own: a connection that the server has let go of meanwhile would fail.
        with _session(self.server) as session, _as_making_errors():
            answer = session.post(
                self._url("sdapi/v1/txt2img"),
                json=body,
                timeout=(CONNECT_SECONDS, seconds),
                allow_redirects=False,
                stream=True,
            )
            with answer:
                content = _read(answer, deadline, LARGEST_ANSWER)
        _raise_for_drawing(answer.status_code, content)
        return _drawn(content, order)

    def _url(self, path: str) -> str:
        return f"{self.server.url}/{path}"

    def _ask(self, method: str, path: str, seconds: float, body: Any = None) -> tuple[int, bytes]:
        """A short call; the status and what was answered."""
        deadline = time.monotonic() + seconds
        with self._session.request(
            method,
            self._url(path),
            json=body,
            timeout=(min(seconds, CONNECT_SECONDS), seconds),
            allow_redirects=False,
            stream=True,
        ) as answer:
            return answer.status_code, _read(answer, deadline, LARGEST_SMALL_ANSWER)


def bare_name(name: str) -> str:
    """A checkpoint's name without its hash and extension."""
    return EXTENSION.sub("", HASH.sub("", name.strip()))


def _session(server: WebuiServer) -> requests.Session:
    session = requests.Session()
    # The address is meant as it is given: no proxy of the environment, no password from a .netrc.
    session.trust_env = False
    if server.username is not None and server.password is not None:
        session.auth = (server.username, server.password)
    return session


def _read(answer: requests.Response, deadline: float, largest: int) -> bytes:
    """The body, as long as it is not too large and does not take for ever."""
    content = bytearray()
    for part in answer.iter_content(64 * 1024):
        content += part
        if len(content) > largest:
            raise MakingError("server_error", "The server's answer is too large.")
        if time.monotonic() > deadline:
            raise MakingError("timeout", "The server did not answer in time.")
    return bytes(content)


@contextmanager
def _away_if_unreachable() -> Iterator[None]:
    try:
        yield
    except exceptions.SSLError:
        raise AwayError("its certificate cannot be trusted") from None
    except exceptions.Timeout:
        raise AwayError("it does not answer") from None
    except (exceptions.RequestException, MakingError):
        raise AwayError("it cannot be reached") from None


@contextmanager
def _as_making_errors() -> Iterator[None]:
    """What can happen to a call that draws; away only if it surely did not begin."""
    try:
        yield
    except exceptions.SSLError:
        raise AwayError("its certificate cannot be trusted") from None
    except (exceptions.ConnectTimeout, exceptions.ProxyError):
        raise AwayError("it cannot be reached") from None
    except exceptions.Timeout:
        raise MakingError("timeout", "The server did not answer in time.") from None
    except exceptions.ConnectionError as error:
        cause = error.args[0] if error.args else None
        if isinstance(getattr(cause, "reason", None), NewConnectionError):
            raise AwayError("it cannot be reached") from None
        if isinstance(cause, ReadTimeoutError):
            raise MakingError("timeout", "The server did not answer in time.") from None
        raise MakingError("connection_lost", "The connection to the server was lost.") from None
    except exceptions.ChunkedEncodingError:
        raise MakingError("connection_lost", "The connection to the server was lost.") from None
    except exceptions.RequestException as error:
        raise MakingError(
            "server_error", f"The server could not be understood ({type(error).__name__})."
        ) from None


def _raise_for_access(status: int) -> None:
    if status in (401, 403):
        raise AwayError(f"it does not accept the name and password that are set ({status})")
    if 300 <= status < 400:
        raise AwayError(f"it sends us somewhere else ({status}): is this the address of its API?")
    if status == 429:
        raise AwayError("it wants to be asked less often")


def _raise_for_drawing(status: int, content: bytes) -> None:
    if status == 200:
        return
    _raise_for_access(status)
    error = _parse(content)
    said = error if isinstance(error, dict) else {}
    # A server that does not know the path at all says so otherwise than about a sampler.
    if status == 405 or (status == 404 and said.get("detail") in (None, "Not Found")):
        raise AwayError(f"it cannot be asked to draw ({status}): was it started with --api?")
    if status in REFUSED:
        raise MakingError("bad_request", f"The server refused it: {_words(said, status)}")
    if "out of memory" in content[:10_000].decode(errors="replace").lower() or (
        said.get("error") == "OutOfMemoryError"
    ):
        raise MakingError("out_of_memory", "The server ran out of memory.")
    raise MakingError("server_error", f"The server failed: {_words(said, status)}")


def _words(said: dict[str, Any], status: int) -> str:
    """What the server said, fit to be kept."""
    found = [f"status {status}", *(said.get(key) for key in ("error", "detail", "errors"))]
    texts = [each if isinstance(each, str) else json.dumps(each) for each in found if each]
    text = "".join(each if each.isprintable() else " " for each in ", ".join(texts))
    return redact(" ".join(text.split()))[:LONGEST_SAID]


def _drawn(content: bytes, order: Order) -> Drawn:
    answer = _parse(content)
    if not isinstance(answer, dict):
        raise MakingError("server_error", "The server's answer is not the one of a WebUI.")
    info = _info(answer.get("info"))
    model = info.get("sd_model_name")
    if isinstance(model, str) and model and _compared(model) != _compared(order.model):
        raise MakingError("model_swapped", "The server used another model than it was asked to.")
    images, index = answer.get("images"), info.get("index_of_first_image")
    index = index if isinstance(index, int) else 0
    if not isinstance(images, list) or not 0 <= index < len(images):
        raise MakingError("not_an_image", "The server's answer holds no image.")
    return Drawn(_image_bytes(images[index]), _seed(info, order))


def _seed(info: dict[str, Any], order: Order) -> int:
    """The seed that was used; the one that was asked for, where the server does not say."""
    seed = info.get("seed")
    return seed if isinstance(seed, int) and 0 <= seed <= LARGEST_SEED else order.seed


def _image_bytes(image: Any) -> bytes:
    """The bytes in base64, with or without the head of a data URL."""
    try:
        return base64.b64decode(image.rpartition(",")[2], validate=True)
    except (AttributeError, ValueError, binascii.Error):
        raise MakingError("not_an_image", "The server's answer holds no image.") from None


def _info(given: Any) -> dict[str, Any]:
    """What the image was made with: JSON in a string, or nothing."""
    found = _parse(given) if isinstance(given, str) else given
    return found if isinstance(found, dict) else {}


def _compared(model: str) -> str:
    """In a folder, a model is called folder_name as well as folder/name."""
    return bare_name(model).replace("/", "_").replace("\\", "_")


def _percent(found: dict[str, Any]) -> int | None:
    progress = found.get("progress")
    if isinstance(progress, bool) or not isinstance(progress, int | float):
        return None
    return int(100 * progress) if 0 <= progress <= 1 else None


def _parse(content: bytes | str) -> Any:
    """JSON, or None for what is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
