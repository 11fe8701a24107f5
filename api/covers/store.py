"""Where the images of covers are kept: a folder, or a bucket of an S3-compatible service.

A file is named by the hash of what is in it. So it never changes, the same image is kept once, and
whoever has a name knows what it stands for; and no other name is understood, so that nothing
outside the store can be reached.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

NAME = re.compile(r"(?P<hash>[0-9a-f]{64})\.(?P<kind>webp|png|jpeg)")

# A bucket that is public serves its files itself, and then says of them what the edge would.
CACHE_CONTROL = "public, max-age=31536000, immutable"

# Whoever waits for the store holds a thread. All in all that is a little more than twice these.
S3_CONNECT_SECONDS = 3
S3_READ_SECONDS = 10
S3_TRIES = 2
USUAL_REGION = "us-east-1"


class StoreError(OSError):
    """The store cannot be used just now; the text is one line."""


class CoverStore:
    """The images, by their names. Threads may share it."""

    def __init__(self, files: Any, root: str, folder: Path | None) -> None:
        self._files = files
        self._root = root
        self._folder = folder

    @classmethod
    def open(cls, url: str) -> "CoverStore":
        """The store at a folder's path, file:// or s3://bucket/prefix. A folder is made."""
        with _failures_told():
            # s3fs starts a thread of its own: not before a server has forked, so not on import.
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]
            from fsspec.implementations.local import (  # type: ignore[import-untyped]
                LocalFileSystem,
            )

            options = _s3_options() if url.startswith("s3:") else {}
            files, root = url_to_fs(url, skip_instance_cache=True, **options)
            if not isinstance(files, LocalFileSystem):
                if options:
                    files.retries = S3_TRIES
                return cls(files, root, None)
            folder = Path(root)
            folder.mkdir(parents=True, exist_ok=True)
            return cls(files, root, folder)

    def put(self, name: str, data: bytes) -> None:
        """Keep an image. Nobody ever sees half of it, and what is there is written again.

        That makes it young, so that a file about to be tidied away is not when somebody needs it.
        """
        path = self._path(name)
        if not name.startswith(hashlib.sha256(data).hexdigest()):
            raise ValueError("an image is kept under the hash of what is in it")
        with _failures_told():
            if self._folder is not None:
                _write_whole(self._folder / name, data)
            elif "s3" in self._files.protocol:
                headers = {"ContentType": media_type(name), "CacheControl": CACHE_CONTROL}
                self._files.pipe_file(path, data, **headers)
            else:
                self._files.pipe_file(path, data)

    def read(self, name: str) -> bytes | None:
        """An image, or None where there is none of this name."""
        path = self._path(name)
        with _failures_told():
            try:
                data: bytes = self._files.cat_file(path)
            except FileNotFoundError as error:
                self._refuse_if_gone(error)
                return None
        return data

    def names(self) -> Iterator[tuple[str, datetime]]:
        """Every image and when it was last put; what else lies there is passed over."""
        with _failures_told():
            try:
                found = self._files.ls(self._root, detail=True)
            except FileNotFoundError as error:
                self._refuse_if_gone(error)
                return
        for entry in found:
            name = entry["name"].rpartition("/")[2]
            if entry["type"] == "file" and NAME.fullmatch(name):
                with _failures_told():
                    when = self._when_put(entry)
                yield name, when

    def delete(self, name: str) -> None:
        """Remove an image; that it is gone already is no fault."""
        path = self._path(name)
        with _failures_told():
            try:
                self._files.rm_file(path)
            except FileNotFoundError as error:
                self._refuse_if_gone(error)

    def _path(self, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("this is no name of an image")
        return f"{self._root}/{name}"

    def _refuse_if_gone(self, error: FileNotFoundError) -> None:
        """Tell a file that is missing from a folder or a bucket that is."""
        if self._folder is not None and not self._folder.is_dir():
            raise StoreError("the store's folder is gone") from error
        answer = getattr(error.__cause__, "response", None) or {}
        if answer.get("Error", {}).get("Code") == "NoSuchBucket":
            raise StoreError("the store's bucket is gone") from error

    def _when_put(self, entry: dict[str, Any]) -> datetime:
        found = entry.get("LastModified", entry.get("mtime"))
        if isinstance(found, int | float):
            return datetime.fromtimestamp(found, UTC)
        when: datetime = found or self._files.modified(entry["name"])
        return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def media_type(name: str) -> str:
    """What an image of this name is sent as."""
    return f"image/{name.rpartition('.')[2]}"


def _s3_options() -> dict[str, Any]:
    # Compose hands on what nobody set as an empty text, which is a region to the client.
    is_region_empty = os.environ.get("AWS_DEFAULT_REGION") == ""
    return {
        "client_kwargs": {"region_name": USUAL_REGION} if is_region_empty else {},
        "use_listings_cache": False,  # the edge and the worker each put files there
        "config_kwargs": {
            "connect_timeout": S3_CONNECT_SECONDS,
            "read_timeout": S3_READ_SECONDS,
            "retries": {"total_max_attempts": 1},  # s3fs tries again by itself
            # Services that are not Amazon's need not know the newer checksums.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
    }


def _write_whole(path: Path, data: bytes) -> None:
    """Write beside the name, and rename when all of it is on the disk."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with part.open("xb") as output:
            output.write(data)
            output.flush()
            os.fsync(output.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut: after this somebody is charged for the cover."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _failures_told() -> Iterator[None]:
    """Every failure as one of ours: each kind of store brings exceptions of its own."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(" ".join(str(error).split()) or type(error).__name__) from error
