"""Where images are kept: in a folder, and in a bucket over real HTTP, with the same manners."""

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import fsspec  # type: ignore[import-untyped]
import pytest
from moto.server import ThreadedMotoServer

from api.covers import store as store_module
from api.covers.store import CoverStore, StoreError
from api.stack.ports import free_port

BUCKET = "pictures"
STRANGE_NAMES = [
    "",
    ".",
    "..",
    "../secret",
    "../" + "a" * 64 + ".webp",
    "/etc/passwd",
    "a" * 64,
    "a" * 63 + ".webp",
    "a" * 65 + ".webp",
    "A" * 64 + ".webp",
    "g" * 64 + ".webp",
    "\u0661" * 64 + ".webp",  # digits, but not ours
    "a" * 64 + ".gif",
    "a" * 64 + ".WEBP",
    "a" * 64 + ".jpg",
    "a" * 64 + ".webp\n",
    "\n" + "a" * 64 + ".webp",
    "a" * 64 + ".webp\0",
    "a" * 64 + ".webp/",
    "a" * 64 + "xwebp",
    "sub/" + "a" * 64 + ".webp",
    "*" + "a" * 63 + ".webp",
]


def named(data: bytes, kind: str = "webp") -> str:
    return f"{hashlib.sha256(data).hexdigest()}.{kind}"


@pytest.fixture(scope="module")
def bucket_service() -> Iterator[Any]:
    """A service that speaks S3, found the way operators tell of theirs: by the environment."""
    # Not by its number: clients part names of hosts and of buckets only where there is a name.
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL_S3", f"http://localhost:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "of-the-tests")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "of-the-tests")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client
        client.close()
    server.stop()


@pytest.fixture(params=["folder", "file", "bucket", "prefix"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "covers of ours")
    if request.param == "file":
        return f"file://{tmp_path}/covers/"
    client = request.getfixturevalue("bucket_service")
    kept = client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    for each in kept:
        client.delete_object(Bucket=BUCKET, Key=each["Key"])
    return f"s3://{BUCKET}" if request.param == "bucket" else f"s3://{BUCKET}/some/covers/"


@pytest.fixture
def store(store_url: str) -> CoverStore:
    return CoverStore.open(store_url)


# Keeping -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["webp", "png", "jpeg"])
def test_what_is_put_can_be_read(store: CoverStore, kind: str) -> None:
    data = b"a picture \0\xff" * 5000
    store.put(named(data, kind), data)
    assert store.read(named(data, kind)) == data


def test_a_second_store_of_the_same_place_sees_it(store: CoverStore, store_url: str) -> None:
    """The worker puts it, and the edge serves it."""
    other = CoverStore.open(store_url)
    data = b"a picture"
    assert other.read(named(data)) is None
    assert list(other.names()) == []
    store.put(named(data), data)
    assert other.read(named(data)) == data
    assert [name for name, _ in other.names()] == [named(data)]
    other.delete(named(data))
    assert store.read(named(data)) is None
    assert list(store.names()) == []


def test_what_is_not_there(store: CoverStore) -> None:
    assert store.read(named(b"nothing")) is None
    store.delete(named(b"nothing"))
    assert list(store.names()) == []


def test_putting_what_is_there_makes_it_young(store: CoverStore, store_url: str) -> None:
    """So that what somebody is about to need is not tidied away."""
    data = b"a picture"
    store.put(named(data), data)
    if not store_url.startswith("s3:"):
        path = Path(store_url.removeprefix("file://")) / named(data)
        os.utime(path, (1_000_000_000, 1_000_000_000))
        assert [when.year for _, when in store.names()] == [2001]
    store.put(named(data), data)
    ((name, when),) = store.names()
    assert name == named(data)
    assert abs(datetime.now(UTC) - when) < timedelta(minutes=1)
    assert store.read(name) == data


def test_every_image_is_named_and_nothing_else(store: CoverStore, store_url: str) -> None:
    pictures = [f"picture {number}".encode() for number in range(30)]
    for each in pictures:
        store.put(named(each), each)
    if store_url.startswith("s3:"):
        prefix = store_url.removeprefix(f"s3://{BUCKET}").strip("/")
        client = boto3.client("s3")
        for strange in ("notes.txt", "notes.webp", f"deeper/{named(b'x')}", f"{named(b'x')}.part"):
            client.put_object(Bucket=BUCKET, Key=f"{prefix}/{strange}".strip("/"), Body=b"x")
        client.close()
    else:
        folder = Path(store_url.removeprefix("file://"))
        (folder / "notes.txt").write_bytes(b"x")
        (folder / "notes.webp").write_bytes(b"x")
        (folder / "deeper").mkdir()
        (folder / "deeper" / named(b"x")).write_bytes(b"x")
        (folder / named(b"a folder")).mkdir()
        (folder / f".{named(b'x')}.0123").write_bytes(b"x")
    assert sorted(name for name, _ in store.names()) == sorted(map(named, pictures))


@pytest.mark.parametrize("name", STRANGE_NAMES, ids=repr)
def test_nothing_else_can_be_named(store: CoverStore, name: str) -> None:
    for use in (store.read, store.delete, lambda name: store.put(name, b"x")):
        with pytest.raises(ValueError):
            use(name)


def test_a_name_must_be_that_of_the_content(store: CoverStore) -> None:
    with pytest.raises(ValueError):
        store.put(named(b"one"), b"another")
    assert list(store.names()) == []


def test_many_at_once(store: CoverStore) -> None:
    pictures = [f"picture {number}".encode() * 1000 for number in range(24)]
    with ThreadPoolExecutor(8) as threads:
        for put in [threads.submit(store.put, named(each), each) for each in pictures]:
            put.result()
        read = [threads.submit(store.read, named(each)) for each in pictures]
        assert [each.result() for each in read] == pictures


# A folder ------------------------------------------------------------------------------------


def test_nobody_sees_half_an_image(tmp_path: Path) -> None:
    """Who looks all the while sees nothing, and then all of it."""
    store = CoverStore.open(str(tmp_path / "covers"))
    data = os.urandom(4_000_000)
    seen: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            found = store.read(named(data))
            seen.append(-1 if found is None else len(found))

    looking = threading.Thread(target=look)
    looking.start()
    for _ in range(5):
        store.put(named(data), data)
        store.delete(named(data))
    done.set()
    looking.join()
    assert set(seen) <= {-1, len(data)}


def test_one_image_put_by_many_is_there_once(tmp_path: Path) -> None:
    store = CoverStore.open(str(tmp_path / "covers"))
    data = b"the same picture" * 10_000
    with ThreadPoolExecutor(8) as threads:
        for put in [threads.submit(store.put, named(data), data) for _ in range(40)]:
            put.result()
    assert [each.name for each in (tmp_path / "covers").iterdir()] == [named(data)]
    assert store.read(named(data)) == data


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CoverStore.open(str(tmp_path / "covers"))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        store.put(named(b"a picture"), b"a picture")
    assert list((tmp_path / "covers").iterdir()) == []


def test_a_folder_that_is_gone_is_not_an_image_that_is_missing(tmp_path: Path) -> None:
    store = CoverStore.open(str(tmp_path / "covers"))
    (tmp_path / "covers").rmdir()
    for use in (store.read, store.delete, lambda name: store.put(name, b"x")):
        with pytest.raises(StoreError):
            use(named(b"x"))
    with pytest.raises(StoreError):
        list(store.names())


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as error:
        CoverStore.open(str(tmp_path / "file" / "covers"))
    assert "\n" not in str(error.value)


# A bucket ------------------------------------------------------------------------------------


def test_a_public_bucket_says_what_its_files_are(bucket_service: Any) -> None:
    store = CoverStore.open(f"s3://{BUCKET}/public")
    data = b"a picture"
    store.put(named(data, "jpeg"), data)
    head = bucket_service.head_object(Bucket=BUCKET, Key=f"public/{named(data, 'jpeg')}")
    assert head["ContentType"] == "image/jpeg"
    assert head["CacheControl"] == "public, max-age=31536000, immutable"


def test_more_images_than_a_page_of_the_list(
    bucket_service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")
    for number in range(25):
        key = f"many/{named(str(number).encode())}"
        bucket_service.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    page = bucket_service.list_objects_v2(Bucket=BUCKET, Prefix="many/")
    assert (len(page["Contents"]), page["IsTruncated"]) == (10, True)
    assert len(list(CoverStore.open(f"s3://{BUCKET}/many").names())) == 25


@pytest.mark.usefixtures("bucket_service")
def test_a_region_that_is_set_to_nothing_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Compose hands on a variable that the operator left out."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "")
    store = CoverStore.open(f"s3://{BUCKET}/regions")
    store.put(named(b"x"), b"x")
    assert store.read(named(b"x")) == b"x"
    # Nor is the endpoint. Nothing is asked of the real one here: this is where it would be.
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "")
    files = fsspec.filesystem("s3", skip_instance_cache=True, **store_module._s3_options())
    files.connect()
    assert files._s3.meta.endpoint_url == "https://s3.amazonaws.com"


@pytest.mark.usefixtures("bucket_service")
def test_a_bucket_that_is_gone_is_not_an_image_that_is_missing() -> None:
    store = CoverStore.open("s3://no-such-bucket/covers")
    for use in (store.read, lambda name: store.put(name, b"x")):
        with pytest.raises(StoreError) as error:
            use(named(b"x"))
        assert "\n" not in str(error.value)
    with pytest.raises(StoreError):
        list(store.names())


@pytest.mark.usefixtures("bucket_service")
def test_a_service_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    store = CoverStore.open(f"s3://{BUCKET}/covers")
    for use in (store.read, lambda name: store.put(name, b"x")):
        with pytest.raises(StoreError):
            use(named(b"x"))


@pytest.mark.usefixtures("bucket_service")
def test_a_service_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "S3_READ_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{silent.getsockname()[1]}")
        store = CoverStore.open(f"s3://{BUCKET}/covers")
        began = time.monotonic()
        with pytest.raises(StoreError):
            store.read(named(b"x"))
        assert time.monotonic() - began < 10


def test_a_kind_of_store_that_nobody_knows() -> None:
    with pytest.raises(StoreError):
        CoverStore.open("carrier-pigeon://somewhere")
