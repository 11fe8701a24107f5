"""pgbench let loose on a database, with a log of every transaction."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.database import Database
from bench.errors import BenchError
from bench.timing import Timing, read_log

THREADS = 2


@dataclass(frozen=True)
class Load:
    """How many clients, and for how long: so many seconds, or so many turns each."""

    clients: int
    seconds: int = 0
    turns: int = 0
    warm_up: int = 0  # seconds before those that count
    waits_for_disk: bool = True

    @property
    def amount(self) -> str:
        """The same for pgbench."""
        if self.turns:
            return f"--transactions={self.turns}"
        return f"--time={self.seconds + self.warm_up}"


def run_pgbench(
    database: Database, script: str, role: str, variables: Mapping[str, object], load: Load
) -> Timing:
    """Let every client run the script again and again, with the rights of `role`."""
    with tempfile.TemporaryDirectory(prefix="infinite-pages-pgbench-") as folder:
        path = Path(folder) / "script.sql"
        path.write_text(script)
        command = [
            str(database.server.postgres.bin_folder / "pgbench"),
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={load.clients}",
            f"--jobs={min(THREADS, load.clients)}",
            load.amount,
            "--log",
            f"--log-prefix={folder}/log",
            f"--file={path}",
            *(f"--define={name}={value}" for name, value in variables.items()),
            database.url,
        ]
        options = f"-c role={role} -c synchronous_commit={'on' if load.waits_for_disk else 'off'}"
        environment = os.environ | {"PGOPTIONS": options}
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            raise BenchError(f"pgbench failed: {' '.join(done.stderr.split())}")
        return read_log(Path(folder), warm_up=load.warm_up, seconds=load.seconds)
