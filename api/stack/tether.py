"""Run a command that does not outlive the process that started it.

    python tether.py PARENT_PID COMMAND [ARGUMENT ...]

A supervisor that is killed outright cannot stop its children, so on Linux each child asks the
kernel to do it. The request survives exec, hence this small step between the two; elsewhere the
command is simply run. The file imports nothing of the project, so that it starts at once.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Ask for the tie, then become the command."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the kernel was asked
            sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
