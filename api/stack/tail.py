"""Following a log file that another process appends to."""

import threading
from collections import deque
from pathlib import Path

from api.stack.child import KEPT_LINES
from api.stack.log import LogLine

LOOK_SECONDS = 0.2


class Tail:
    """Hands on each line that is appended from now on."""

    def __init__(self, name: str, path: Path, log: LogLine) -> None:
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._name = name
        self._log = log
        path.touch()
        self._file = path.open(errors="replace")
        self._file.seek(0, 2)
        self._unfinished = ""
        self._stopped = threading.Event()
        self._follower = threading.Thread(target=self._follow, name=f"{name}-log", daemon=True)
        self._follower.start()

    def stop(self) -> None:
        """Hand on what is left and end."""
        self._stopped.set()
        self._follower.join()
        self._file.close()

    def _follow(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            self._hand_on()
        self._hand_on()

    def _hand_on(self) -> None:
        *lines, self._unfinished = (self._unfinished + self._file.read()).split("\n")
        for line in lines:
            self.last_lines.append(line)
            self._log(self._name, line)
