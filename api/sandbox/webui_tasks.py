"""One GPU and those who wait for it: tasks are drawn one after another, in the order they came."""

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

from PIL import Image

from api.sandbox import webui_drawing as drawing
from api.sandbox.faults import Fault
from api.sandbox.webui_errors import WebuiError, out_of_memory
from api.sandbox.webui_faults import WebuiFaults
from api.sandbox.webui_models import CHECKPOINTS, Checkpoint, Settings, find
from api.sandbox.webui_request import Order

REMEMBERED_TASKS = 5000
REMEMBERED_ENDS = 16
SHOWN_PICTURES = 24
THUMBNAIL = (256, 384)


@dataclass
class Task:
    """One request to draw, from when it came to its end."""

    number: int
    id: str
    order: Order
    fault: str | None
    asked_at: float
    checkpoint: Checkpoint | None = None
    state: str = "queued"
    step: int = 0
    turn: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    interrupt: threading.Event = field(default_factory=threading.Event)
    picture: Image.Image | None = None

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        turns: int = self.order["n_iter"]
        steps: int = self.order["steps"]
        return min((self.turn + self.step / steps) / turns, 1.0)

    def listed(self) -> dict[str, Any]:
        """For whoever wants to know what was asked."""
        return {
            "id": self.id,
            "state": self.state,
            "asked_model": self.order.checkpoint,
            "model": self.checkpoint.name if self.checkpoint else None,
            "prompt": self.order["prompt"],
            "negative_prompt": self.order["negative_prompt"],
            "seed": self.order.seed,
            "width": self.order["width"],
            "height": self.order["height"],
            "progress": round(self.share, 3),
            "is_interrupted": self.interrupt.is_set(),
            "fault": self.fault,
            "asked_at": self.asked_at,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
        }


@dataclass(frozen=True)
class Result:
    """What was drawn, and with which model."""

    task: Task
    checkpoint: Checkpoint
    pictures: list[Image.Image]


@dataclass(frozen=True)
class Shown:
    """A picture on the page."""

    number: int
    prompt: str
    model: str
    seed: int
    jpeg: bytes


class Gpu:
    """Who is being drawn, who waits, and who was drawn."""

    def __init__(self, seconds: float, settings: Settings, faults: WebuiFaults) -> None:
        self._seconds = seconds
        self._settings = settings
        self._faults = faults
        self._numbers = count(1)
        self._changed = threading.Condition()
        self._waiting: deque[Task] = deque()
        self._running: Task | None = None
        # The id that is called active. It stays when drawing fails, until another task begins.
        self._active: str | None = None
        self._ended: deque[str] = deque(maxlen=REMEMBERED_ENDS)
        self._tasks: deque[Task] = deque(maxlen=REMEMBERED_TASKS)
        self._shown: deque[Shown] = deque(maxlen=SHOWN_PICTURES)
        self._closing = False

    def draw(self, order: Order, fault: Fault | None) -> Result:
        """Wait for one's turn, and draw."""
        task_id = order["force_task_id"] or f"task(txt2img-{uuid4().hex[:15]})"
        kind = fault.fault if fault else None
        with self._changed:
            task = Task(next(self._numbers), task_id, order, kind, time.time())
            self._tasks.append(task)
            self._waiting.append(task)
            self._changed.wait_for(lambda: self._running is None and self._waiting[0] is task)
            self._waiting.popleft()
            self._running, self._active = task, task.id
            task.state, task.started_at = "running", time.time()
        try:
            result = self._draw(task, fault)
        except BaseException:
            self._end(task, "failed")
            raise
        self._show(result)
        self._end(task, "interrupted" if task.interrupt.is_set() else "finished")
        return result

    def interrupt(self) -> None:
        """Stop whatever is drawn now; nobody, if nothing is."""
        with self._changed:
            if self._running is not None:
                self._running.interrupt.set()

    def progress(self, task_id: str | None) -> tuple[bool, bool, bool, Task | None]:
        """Whether a task is active, queued or completed; and the task, if it is being drawn."""
        with self._changed:
            running = self._running if self._running and self._running.id == task_id else None
            return (
                task_id is not None and task_id == self._active,
                any(each.id == task_id for each in self._waiting),
                task_id in self._ended,
                running,
            )

    @property
    def running(self) -> Task | None:
        with self._changed:
            return self._running

    def listed(self) -> list[dict[str, Any]]:
        """All tasks, the oldest first."""
        with self._changed:
            return [each.listed() for each in self._tasks]

    def forget(self) -> None:
        """As if nothing had been asked for so far, except by those who still wait."""
        with self._changed:
            kept = [each for each in self._tasks if each.ended_at is None]
            self._tasks.clear()
            self._tasks.extend(kept)
            self._shown.clear()

    def shown(self) -> list[Shown]:
        """The last pictures, the newest first."""
        with self._changed:
            return list(reversed(self._shown))

    def close(self) -> None:
        """Keep nobody waiting any more."""
        with self._changed:
            self._closing = True
            if self._running is not None:
                self._running.interrupt.set()
            self._changed.notify_all()

    def _draw(self, task: Task, fault: Fault | None) -> Result:
        self._go_on()
        order, before = task.order, self._settings.loaded
        asked = find(order.checkpoint) if order.checkpoint else None
        # A checkpoint that nobody knows is passed over in silence, as there.
        checkpoint = asked or before
        if task.fault == "model_swap":
            checkpoint = next(each for each in CHECKPOINTS if each != checkpoint)
        task.checkpoint = checkpoint
        self._settings.load(checkpoint)
        try:
            pictures: list[Image.Image] = []
            for turn in range(order["n_iter"]):
                task.turn, task.step = turn, 0
                seeds = range(order["batch_size"])
                first = turn * order["batch_size"] + order.seed
                batch = [self._picture(task, checkpoint, first + each) for each in seeds]
                self._take_steps(task, fault, batch[0])
                share = task.step / order["steps"]
                pictures += [drawing.half_drawn(each, share, order.seed) for each in batch]
                if task.interrupt.is_set():
                    break
        finally:
            if order["override_settings_restore_afterwards"]:
                self._settings.load(before)
        return Result(task, checkpoint, pictures)

    def _picture(self, task: Task, checkpoint: Checkpoint, seed: int) -> Image.Image:
        width, height = task.order.size
        if task.fault == "blank":
            return drawing.blank(seed, (width, height))
        if task.fault == "wrong_size":
            width, height = max(width // 2, 64), max(height // 2, 64)
        return drawing.draw(task.order["prompt"], checkpoint.name, seed, (width, height))

    def _take_steps(self, task: Task, fault: Fault | None, picture: Image.Image) -> None:
        """Let the time pass that it takes, and go wrong half-way if it is to."""
        task.picture = picture
        steps: int = task.order["steps"]
        seconds = self._seconds * task.order["batch_size"]
        if fault is not None:
            seconds += fault.seconds  # of any fault but a slow one: 0, unless it is slow as well
        for step in range(steps):
            if step == steps // 2:
                self._go_wrong(task)
            is_interrupted = task.interrupt.wait(seconds / steps)
            self._go_on()
            if is_interrupted:
                return
            task.step = step + 1

    def _go_on(self) -> None:
        if self._closing:
            raise WebuiError(500, "RuntimeError", errors="the sandbox is being stopped")

    def _go_wrong(self, task: Task) -> None:
        if task.fault == "hang":
            self._faults.hold()
        elif task.fault == "out_of_memory":
            raise out_of_memory()
        elif task.fault == "server_error":
            raise WebuiError(
                500, "RuntimeError", errors="expected scalar type Half but found Float"
            )

    def _show(self, result: Result) -> None:
        order = result.task.order
        jpeg = drawing.small_jpeg(result.pictures[0], THUMBNAIL)
        name = result.checkpoint.name
        shown = Shown(result.task.number, order["prompt"], name, order.seed, jpeg)
        with self._changed:
            self._shown.append(shown)

    def _end(self, task: Task, state: str) -> None:
        with self._changed:
            task.state, task.ended_at, task.picture = state, time.time(), None
            self._running = None
            if state != "failed":
                self._ended.append(task.id)
                self._active = None
            self._changed.notify_all()
