"""Where and of what the figures are: without that they are worth nothing."""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

GIGABYTE = 1 << 30
IN_MEMORY = {"tmpfs", "ramfs"}


@dataclass(frozen=True)
class Machine:
    """The facts that a reader of the figures asks for first."""

    measured_at: str
    commit: str
    processor: str
    cores: int
    memory_gigabytes: int
    system: str
    file_system: str
    load_before: float

    @property
    def warnings(self) -> list[str]:
        """Why these figures may not be trusted."""
        found = []
        if self.file_system in IN_MEMORY:
            found.append(f"the data lies on {self.file_system}: commits do not wait for any disk")
        if self.load_before > 0.5:
            found.append(f"the machine was busy: load {self.load_before:.1f} before the start")
        if self.commit.endswith("+"):
            found.append("the work tree differs from the commit")
        return found


def describe(folder: Path) -> Machine:
    """Look at this machine, and at the file system that holds `folder`."""
    return Machine(
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=_commit(),
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gigabytes=round(psutil.virtual_memory().total / GIGABYTE),
        system=platform.platform(),
        file_system=_file_system(folder.resolve()),
        load_before=round(os.getloadavg()[0], 2),
    )


def _commit() -> str:
    """The commit that is measured, with a plus sign if files were changed since."""
    described = subprocess.run(
        ["git", "describe", "--always", "--abbrev=10", "--exclude=*", "--dirty=+"],
        cwd=Path(__file__).parent,
        check=False,
        capture_output=True,
        text=True,
    )
    return described.stdout.strip() or "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _file_system(folder: Path) -> str:
    mounted = [
        partition
        for partition in psutil.disk_partitions(all=True)
        if folder.is_relative_to(partition.mountpoint)
    ]
    return max(mounted, key=lambda each: len(each.mountpoint)).fstype if mounted else "unknown"
