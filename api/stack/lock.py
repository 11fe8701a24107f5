"""One supervisor at a time for a state folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.stack.errors import StackError


@contextmanager
def state_lock(state_folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel drops it with the process, so it cannot go stale."""
    with (state_folder / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StackError(
                f"already running (pid {file.read().strip()}): stop that one first, "
                "or set STATE_DIR, POSTGREST_PORT, EDGE_PORT and STRIPE_SANDBOX_PORT for a second"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
