"""Covers over the edge's HTTP: images for everybody, uploads for the author of the story alone."""

import hashlib
import io
import json
import random
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import boto3  # type: ignore[import-untyped]
import httpx
import psycopg
import pytest
from flask.testing import FlaskClient
from moto.server import ThreadedMotoServer
from PIL import Image
from psycopg.rows import dict_row
from werkzeug.test import TestResponse

from api import create_app
from api.config import EdgeSettings, StripeSettings, with_login
from api.covers import routes
from api.stack.ports import free_port
from api.stack.supervisor import Stack
from api.tokens import sign_token
from tests.conftest import NewDatabase
from tests.market import publish_story
from tests.shop import Shop, open_shop, refusal
from tests.test_covers_images import huge_png, written

MEGABYTE = 1024 * 1024
FOREVER = "public, max-age=31536000, immutable"
NOBODYS = "0" * 64 + ".webp"
WAIT_SECONDS = 60.0


def picture(seed: int = 1, size: tuple[int, int] = (300, 450), kind: str = "PNG") -> bytes:
    """An image like no other: four colored quarters."""
    chance = random.Random(seed)
    small = Image.new("RGB", (2, 2))
    small.putdata([tuple(chance.randrange(256) for _ in range(3)) for _ in range(4)])
    output = io.BytesIO()
    small.resize(size, Image.Resampling.NEAREST).save(output, kind)
    return output.getvalue()


class Author:
    """Somebody with a story, who sends covers for it to the edge."""

    def __init__(self, shop: Shop, edge: httpx.Client) -> None:
        self.shop = shop
        self.edge = edge
        self.story = shop.story
        self.token = shop.creator().token

    @property
    def path(self) -> str:
        return f"/stories/{self.story}/covers"

    def send(
        self, data: bytes, content_type: str | None = "image/png", query: str = "", **headers: str
    ) -> httpx.Response:
        """POST a body as it stands; header names are written with underscores."""
        sent = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        sent |= {} if content_type is None else {"Content-Type": content_type}
        sent |= {name.replace("_", "-"): text for name, text in headers.items()}
        return self.edge.post(self.path + query, content=data, headers=sent)

    def send_form(self, **parts: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.edge.post(self.path, headers=headers, **parts)

    def covers(self) -> list[dict[str, Any]]:
        """What the database has for the story, oldest first."""
        with psycopg.connect(self.shop.market.url, row_factory=dict_row) as connection:
            return connection.execute(
                "select * from app.story_covers where story_id = %s order by id", (self.story,)
            ).fetchall()


@pytest.fixture
def edge(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.edge_url, timeout=WAIT_SECONDS) as client:
        yield client


@pytest.fixture
def author(stack: Stack, edge: httpx.Client) -> Iterator[Author]:
    """Somebody new; at the end the ledger must still be right."""
    with open_shop(stack) as shop:
        yield Author(shop, edge)


@pytest.fixture
def image(author: Author) -> str:
    """The path of an image that is there."""
    answer = author.send(picture())
    assert answer.status_code == 201, answer.text
    return str(urlsplit(answer.json()["cover_url"]).path)


# Uploads -------------------------------------------------------------------------------------


def test_an_author_uploads_a_cover_and_everybody_sees_it(author: Author) -> None:
    answer = author.send(picture(size=(1500, 1500)))
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body.keys() == {"cover_id", "cover_url", "thumbnail_url", "width", "height"}
    assert (body["width"], body["height"]) == (1024, 1024)
    assert answer.headers["Cache-Control"] == "no-store"
    for url, size in ((body["cover_url"], (1024, 1024)), (body["thumbnail_url"], (256, 256))):
        served = author.edge.get(url)
        assert served.status_code == 200
        shown = Image.open(io.BytesIO(served.content))
        assert (shown.format, shown.size) == ("WEBP", size)
    (row,) = author.covers()
    assert str(row["id"]) == body["cover_id"]
    assert body["cover_url"].endswith(f"/covers/{row['file']}")
    assert body["thumbnail_url"].endswith(f"/covers/{row['thumbnail_file']}")
    assert (row["job_id"], row["style"], row["removed_at"]) == (None, None, None)
    assert row["media_type"] == "image/webp"
    assert row["bytes"] == len(author.edge.get(body["cover_url"]).content)
    (seen,) = author.shop.anonymous().get(f"/story_covers?story_id=eq.{author.story}").json()
    assert seen["id"] == body["cover_id"]
    assert seen["cover_url"] == body["cover_url"]
    assert seen["source"] == "uploaded"


def test_the_first_is_shown_and_a_later_one_when_asked_for(author: Author) -> None:
    queries = ["", "", "?primary=false", "?primary=true"]
    shown = [[True], [True, False], [True, False, False], [False, False, False, True]]
    for number, query in enumerate(queries):
        assert author.send(picture(number), query=query).status_code == 201
        assert [row["is_primary"] for row in author.covers()] == shown[number]


@pytest.mark.parametrize("value", ["", "yes", "TRUE", "1", "true%00", "null"])
def test_primary_is_true_or_false(author: Author, value: str) -> None:
    body = refusal(author.send(picture(), query=f"?primary={value}"), 400)
    assert body["hint"] == "invalid_argument"
    assert author.covers() == []


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("WEBP", "image/webp"),
        ("PNG", "image/jpeg"),  # what it is, is said by its bytes
        ("JPEG", "image/svg+xml"),
        ("PNG", "IMAGE/PNG; charset=utf-8"),
    ],
)
def test_an_image_as_the_body(author: Author, kind: str, content_type: str) -> None:
    answer = author.send(picture(kind=kind), content_type)
    assert answer.status_code == 201, answer.text
    assert len(author.covers()) == 1


def test_an_image_as_a_field_of_a_form(author: Author) -> None:
    answer = author.send_form(
        files={"file": ("../../etc/passwd", picture(), "text/html")}, data={"title": "x"}
    )
    assert answer.status_code == 201, answer.text
    assert len(author.covers()) == 1


@pytest.mark.parametrize(
    "parts",
    [
        {"files": {"image": ("a.png", picture())}},
        {"files": [("file", ("a.png", picture())), ("file", ("b.png", picture()))]},
        {"files": {"other": ("a.png", b"x")}, "data": {"file": "a text"}},
    ],
    ids=["another field", "two files", "no file"],
)
def test_a_form_that_holds_no_one_image(author: Author, parts: dict[str, Any]) -> None:
    assert refusal(author.send_form(**parts), 400)["hint"] == "invalid_argument"
    assert author.covers() == []


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_form_that_is_none(author: Author, content_type: str) -> None:
    assert refusal(author.send(picture(), content_type), 400)["hint"] == "invalid_argument"
    assert author.covers() == []


def test_a_form_of_many_parts(author: Author) -> None:
    many = {f"field{number}": "x" for number in range(routes.MOST_FORM_PARTS)}
    answer = author.send_form(files={"file": ("a.png", picture())}, data=many)
    assert refusal(answer, 413)["hint"] == "request_entity_too_large"
    assert author.covers() == []


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "text/html",
        "application/octet-stream",
        "imagepng",
        "video/mp4",
    ],
)
def test_a_body_that_does_not_claim_to_be_an_image(
    author: Author, content_type: str | None
) -> None:
    assert refusal(author.send(picture(), content_type), 415)["hint"] == "unsupported_image"
    assert author.covers() == []


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


NOT_TAKEN = {
    "nothing": (b"", 415, "unsupported_image"),
    "a page": (b"<script>alert(1)</script>", 415, "unsupported_image"),
    "a GIF": (picture(kind="GIF"), 415, "unsupported_image"),
    "half a JPEG": (cut(picture(kind="JPEG", size=(900, 900))), 415, "unsupported_image"),
    "half a PNG": (cut(picture(size=(900, 900))), 415, "unsupported_image"),
    "too small": (picture(size=(255, 300)), 422, "image_too_small"),
    "too large": (picture(size=(4097, 300)), 422, "image_too_large"),
    "a bomb": (huge_png(20_000), 422, "image_too_large"),
    "one color": (Image.new("RGB", (300, 450), "navy"), 422, "blank_image"),
}


@pytest.mark.parametrize(("data", "status", "hint"), NOT_TAKEN.values(), ids=NOT_TAKEN)
def test_what_is_not_taken(author: Author, data: Any, status: int, hint: str) -> None:
    if isinstance(data, Image.Image):
        data = written(data)
    assert refusal(author.send(data), status)["hint"] == hint
    assert refusal(author.send_form(files={"file": ("a.png", data)}), status)["hint"] == hint
    assert author.covers() == []


def test_what_hides_behind_an_image_is_not_kept(author: Author) -> None:
    """A file that is an image and a page, or an archive, at once."""
    hidden = b"<script>alert(document.domain)</script>PK\x05\x06"
    answer = author.send(picture(kind="JPEG") + hidden, "image/jpeg")
    assert answer.status_code == 201
    for url in (answer.json()["cover_url"], answer.json()["thumbnail_url"]):
        served = author.edge.get(url)
        assert hidden not in served.content
        assert served.headers["Content-Type"] == "image/webp"
        assert served.headers["X-Content-Type-Options"] == "nosniff"


# How much ------------------------------------------------------------------------------------


def padded(length: int) -> bytes:
    """An image of so many bytes."""
    data = picture(kind="JPEG")
    return data + bytes(length - len(data))


def test_ten_megabytes_are_taken(author: Author) -> None:
    assert author.send(padded(10 * MEGABYTE)).status_code == 201
    assert author.send_form(files={"file": ("a", padded(10 * MEGABYTE))}).status_code == 201


def test_more_is_not(author: Author) -> None:
    too_much = padded(10 * MEGABYTE + 1)
    for answer in (
        author.send(too_much),
        author.send_form(files={"file": ("a", too_much)}),
        author.send_form(files={"file": ("a", too_much + bytes(MEGABYTE))}),
    ):
        assert refusal(answer, 413)["hint"] == "request_entity_too_large"
    assert author.covers() == []


def in_pieces(data: bytes) -> Iterator[bytes]:
    """What is sent without a length said before."""
    for start in range(0, len(data), 64 * 1024):
        yield data[start : start + 64 * 1024]


def test_a_body_without_a_length(author: Author) -> None:
    assert author.send(in_pieces(padded(MEGABYTE))).status_code == 201  # type: ignore[arg-type]
    answer = author.send(in_pieces(padded(10 * MEGABYTE + 1)))  # type: ignore[arg-type]
    assert refusal(answer, 413)["hint"] == "request_entity_too_large"
    assert len(author.covers()) == 1


def test_a_form_without_a_length(author: Author) -> None:
    for length, status in ((MEGABYTE, 201), (11 * MEGABYTE, 413)):
        form = (
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            + padded(length)
            + b"\r\n--x--\r\n"
        )
        answer = author.send(in_pieces(form), "multipart/form-data; boundary=x")  # type: ignore[arg-type]
        assert answer.status_code == status, answer.text
    assert len(author.covers()) == 1


def answer_before_the_body(author: Author, path: str, length: int, token: str | None) -> Any:
    """What the edge says when all but the body has come, which never does."""
    address = urlsplit(str(author.edge.base_url))
    connection = HTTPConnection(address.hostname or "", address.port, timeout=WAIT_SECONDS)
    connection.putrequest("POST", path)
    connection.putheader("Content-Type", "image/png")
    connection.putheader("Content-Length", str(length))
    if token is not None:
        connection.putheader("Authorization", f"Bearer {token}")
    connection.endheaders()
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body["hint"]


def test_who_may_not_is_told_before_the_image_is_sent(author: Author) -> None:
    stranger = author.shop.somebody().token
    nobodys = f"/stories/{uuid4()}/covers"
    for path, length, token, said in (
        (author.path, MEGABYTE, None, (401, "no_user")),
        (author.path, MEGABYTE, "nonsense", (401, "invalid_token")),
        (author.path, MEGABYTE, stranger, (404, "story_not_found")),
        (nobodys, MEGABYTE, author.token, (404, "story_not_found")),
        (author.path, 11 * MEGABYTE, author.token, (413, "request_entity_too_large")),
    ):
        assert answer_before_the_body(author, path, length, token) == said


# Who -----------------------------------------------------------------------------------------


def test_somebody_elses_story(author: Author) -> None:
    author.token = author.shop.somebody().token
    body = refusal(author.send(picture()), 404)
    assert body["hint"] == "story_not_found"
    assert author.covers() == []


@pytest.mark.parametrize("story", ["00000000-0000-0000-0000-000000000000", "1", "x", "%00", ".."])
def test_a_story_that_is_none(author: Author, story: str) -> None:
    author.story = story
    assert author.send(picture()).status_code == 404


def test_without_a_user(author: Author) -> None:
    author.token = None
    answer = author.send(picture())
    assert refusal(answer, 401)["hint"] == "no_user"
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    author.token = author.shop.with_claims(exp=1).token
    assert refusal(author.send(picture()), 401)["hint"] == "invalid_token"
    author.token = author.shop.with_claims(role="service_role", sub=None).token
    assert refusal(author.send(picture()), 401)["hint"] == "login_required"
    assert author.covers() == []


def test_too_many_covers(author: Author) -> None:
    with psycopg.connect(author.shop.market.url) as connection:
        connection.execute(
            "insert into app.story_covers (story_id, user_id, file, thumbnail_file, media_type,"
            " width, height, bytes) select %s, %s, %s, %s, 'image/webp', 300, 450, 1"
            " from app.economy as e, generate_series(1, e.covers_per_story)",
            (author.story, author.shop.market.creator, NOBODYS, NOBODYS),
        )
    before = author.covers()
    assert refusal(author.send(picture()), 422)["hint"] == "too_many_covers"
    assert author.covers() == before


def test_too_many_uploads(author: Author) -> None:
    """Refused ones count, and the one too many is refused before its image is sent."""
    answers = [author.send(b"") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {415}
    refused = author.send(picture())
    body = refusal(refused, 429)
    assert body["hint"] == "rate_limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 6
    said = answer_before_the_body(author, author.path, MEGABYTE, author.token)
    assert said == (429, "rate_limited")
    assert author.covers() == []
    author.token = author.shop.somebody().token  # it is one person who is slowed down
    assert refusal(author.send(picture()), 404)["hint"] == "story_not_found"


def test_several_at_once(author: Author) -> None:
    with ThreadPoolExecutor(6) as threads:
        sent = [threads.submit(author.send, picture(number)) for number in range(6)]
        assert {each.result().status_code for each in sent} == {201}
    rows = author.covers()
    assert len({row["file"] for row in rows}) == 6
    assert [row["is_primary"] for row in rows].count(True) == 1


# Images --------------------------------------------------------------------------------------


def test_an_image_may_be_kept_for_ever(edge: httpx.Client, image: str) -> None:
    answer = edge.get(image)
    digest = hashlib.sha256(answer.content).hexdigest()
    assert answer.status_code == 200
    assert image == f"/covers/{digest}.webp"
    assert answer.headers["ETag"] == f'"{digest}"'
    assert answer.headers["Cache-Control"] == FOREVER
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert answer.headers["Accept-Ranges"] == "none"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Set-Cookie" not in answer.headers


def test_a_head_has_the_same_headers_and_no_body(edge: httpx.Client, image: str) -> None:
    whole, head = edge.get(image), edge.head(image)
    assert (head.status_code, head.content) == (200, b"")
    changing = {"date", "x-request-id"}
    assert {name: whole.headers[name] for name in whole.headers if name not in changing} == {
        name: head.headers[name] for name in head.headers if name not in changing
    }


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        ('"{hash}"', 304),
        ('W/"{hash}"', 304),
        ('"other", "{hash}"', 304),
        ('"other",W/"{hash}" , "third"', 304),
        ("*", 304),
        ("{hash}", 304),  # without its quotes, as some write it
        ('"other"', 200),
        ('"{hash}x"', 200),
        ('W/"other"', 200),
        ("", 200),
        ('"', 200),
        (",,,", 200),
    ],
)
def test_who_has_the_image_is_not_sent_it_again(
    edge: httpx.Client, image: str, tags: str, status: int
) -> None:
    digest = image.removeprefix("/covers/").removesuffix(".webp")
    for method in ("GET", "HEAD"):
        answer = edge.request(
            method, image, headers={"If-None-Match": tags.replace("{hash}", digest)}
        )
        assert answer.status_code == status
        assert answer.headers["ETag"] == f'"{digest}"'
        assert answer.headers["Cache-Control"] == FOREVER
        if status == 304:
            assert answer.content == b""
            assert "Content-Length" not in answer.headers


def test_other_conditions_are_passed_over(edge: httpx.Client, image: str) -> None:
    whole = edge.get(image).content
    for name, text in (
        ("Range", "bytes=0-9"),
        ("If-Match", '"other"'),
        ("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT"),
        ("If-Unmodified-Since", "Fri, 01 Jan 1999 00:00:00 GMT"),
        ("Authorization", "Bearer nonsense"),
    ):
        answer = edge.get(image, headers={name: text})
        assert (answer.status_code, answer.content) == (200, whole)


def raw_get(edge: httpx.Client, target: bytes) -> tuple[bytes, str]:
    """The status and all of the answer to a target that no library would send."""
    address = urlsplit(str(edge.base_url))
    with socket.create_connection((address.hostname, address.port), WAIT_SECONDS) as connection:
        connection.sendall(
            b"GET " + target + b" HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n"
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return answer.split(b" ", 2)[1], answer.decode("latin-1")


TRICKS = [
    "",
    "/",
    "..",
    "../",
    "../stories",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "..%5c..%5csecret",
    "%2fetc%2fpasswd",
    "//etc/passwd",
    "....//....//etc/passwd",
    "..%252f..%252fetc%252fpasswd",
    "..%c0%af..%c0%afetc%c0%afpasswd",
    "{name}/",
    "{name}/..",
    "./{name}",
    "x/../{name}",
    "/{name}",
    "%2f{name}",
    "{name}%2f",
    "{name}%00",
    "{name}%00.png",
    "{name}%0a",
    "%0a{name}",
    "{name}%20",
    "%20{name}",
    "{name}.png",
    "{name};x",
    "{NAME}",
    "{hash}",
    "{hash}.png",
    "{hash}.jpeg",
    "{hash}.WEBP",
    "{hash}.gif",
    "{hash}.",
    "{hash}%2ewebp%2e",
    "." + "{name}",
    "%d9%a1" * 64 + ".webp",  # Arabic digits
    "%ef%bc%90" * 64 + ".webp",  # wide digits
    "%ff%fe",
    "a" * 3000,
]


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: repr(trick)[:40])
def test_nothing_but_an_image_can_be_named(
    stack: Stack, edge: httpx.Client, image: str, trick: str
) -> None:
    (stack.folder / "covers" / "secret").write_text("root:x:0:0")
    name = image.removeprefix("/covers/")
    target = trick.replace("{name}", name).replace("{NAME}", name.upper())
    target = target.replace("{hash}", name.removesuffix(".webp"))
    status, answer = raw_get(edge, f"/covers/{target}".encode())
    assert status == b"404", answer[:500]
    head, _, body = answer.partition("\r\n\r\n")
    assert "root:" not in body and "Location:" not in head
    assert "Cache-Control: no-store" in head
    assert json.loads(body)["hint"] == "not_found"


@pytest.mark.parametrize("name", ["secret", "."])
def test_what_else_lies_in_the_store_is_not_served(
    stack: Stack, edge: httpx.Client, name: str
) -> None:
    folder = stack.folder / "covers"
    (folder / "secret").write_text("root:x:0:0")
    assert refusal(edge.get(f"/covers/{name}" if name != "." else "/covers/"), 404)


def test_target_with_a_bare_newline_or_nul(edge: httpx.Client, image: str) -> None:
    """The web server itself takes neither."""
    for target in (image.encode() + b"\n", image.encode() + b"\0"):
        status, _ = raw_get(edge, target)
        assert status in (b"400", b"404")


def test_an_image_that_is_missing(edge: httpx.Client) -> None:
    for headers in ({}, {"If-None-Match": f'"{NOBODYS[:64]}"'}, {"If-None-Match": "*"}):
        answer = edge.get(f"/covers/{NOBODYS}", headers=headers)
        assert refusal(answer, 404)["hint"] == "not_found"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "ETag" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_images_are_only_read(edge: httpx.Client, image: str, method: str) -> None:
    answer = edge.request(method, image, content=b"x")
    assert refusal(answer, 405)["hint"] == "method_not_allowed"
    assert edge.get(image).status_code == 200


# Edges of the tests' own ---------------------------------------------------------------------

SECRET = "a secret of the tests, long enough"
FRONTEND = "https://app.example.com"


@dataclass(frozen=True)
class OwnEdge:
    """An edge in this process, whose parts a test may break."""

    client: FlaskClient
    database_url: str
    story: UUID
    token: str

    def send(self, data: bytes, **headers: str) -> TestResponse:
        return self.client.post(
            f"/stories/{self.story}/covers",
            data=data,
            content_type="image/png",
            headers={"Authorization": f"Bearer {self.token}", **headers},
        )

    def count(self, table: str) -> int:
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute(f"select count(*) from app.{table}".encode()).fetchone()
            assert connection.execute("select * from ledger.verify()").fetchall() == []
        assert row is not None
        return int(row[0])


@pytest.fixture
def store_url(tmp_path: Path) -> str | None:
    return str(tmp_path / "covers")


@pytest.fixture
def own(migrated_database: NewDatabase, store_url: str | None) -> Iterator[OwnEdge]:
    url = migrated_database()
    story = publish_story(url)
    app = create_app(
        EdgeSettings(
            database_url=with_login(url, "edge", None),
            jwt_secret=SECRET,
            stripe=StripeSettings("sk_test_x", webhook_secrets=("whsec_x",)),
            edge_url="http://127.0.0.1:8000",
            return_origins=(FRONTEND,),
            cover_store_url=store_url,
        )
    )
    token = sign_token(SECRET, subject=story.creator, role="authenticated", hours=1)
    yield OwnEdge(app.test_client(), url, story.id, token)
    app.extensions["database"].close()


def hint(answer: TestResponse, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.json is not None
    assert answer.json["code"] == f"PT{status}"
    assert answer.headers["Cache-Control"] == "no-store"
    return str(answer.json["hint"])


@pytest.mark.parametrize("store_url", [None])
def test_an_edge_without_a_store(own: OwnEdge) -> None:
    assert hint(own.send(picture()), 503) == "covers_unavailable"
    assert hint(own.client.get(f"/covers/{NOBODYS}"), 503) == "covers_unavailable"
    assert own.client.get("/healthz").status_code == 200
    assert own.count("story_covers") == own.count("rate_buckets") == 0


def test_a_store_that_is_away_and_comes_back(own: OwnEdge, tmp_path: Path) -> None:
    sent = own.send(picture(1))
    assert sent.status_code == 201 and sent.json is not None
    path = urlsplit(sent.json["cover_url"]).path
    shutil.move(tmp_path / "covers", tmp_path / "elsewhere")
    away = own.client.get(path)
    assert hint(away, 503) == "store_unavailable"
    assert away.headers["Retry-After"] == "5"
    assert str(tmp_path) not in away.text
    assert hint(own.send(picture(2)), 503) == "store_unavailable"
    assert own.count("story_covers") == 1
    shutil.move(tmp_path / "elsewhere", tmp_path / "covers")
    assert own.client.get(path).status_code == 200
    assert own.send(picture(2)).status_code == 201
    assert own.count("story_covers") == 2


@pytest.mark.parametrize("store_url", ["/dev/null/covers"])
def test_a_store_that_cannot_be_opened(own: OwnEdge) -> None:
    assert hint(own.client.get(f"/covers/{NOBODYS}"), 503) == "store_unavailable"
    assert hint(own.send(picture()), 503) == "store_unavailable"
    assert own.count("story_covers") == 0


def test_a_cover_whose_story_was_lost_while_it_was_decoded(
    own: OwnEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database has the last word: the image is in the store, and nobody is shown it."""

    def lose(*_anything: object) -> bytes:
        with psycopg.connect(own.database_url) as connection:
            connection.execute("update app.economy set covers_per_story = 1")
            connection.execute(
                "insert into app.story_covers (story_id, user_id, file, thumbnail_file,"
                " media_type, width, height, bytes) select id, user_id, %s, %s, 'image/webp',"
                " 1, 1, 1 from app.stories",
                (NOBODYS, NOBODYS),
            )
        return picture()

    monkeypatch.setattr(routes, "_read_image", lose)
    assert hint(own.send(picture()), 422) == "too_many_covers"
    assert own.count("story_covers") == 1


def test_only_so_many_are_decoded_at_once(own: OwnEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "DECODER_SECONDS", 0.05)
    gallery = own.client.application.extensions["gallery"]
    with gallery.decoding(), gallery.decoding():
        busy = own.send(picture())
        assert hint(busy, 503) == "uploads_busy"
        assert busy.headers["Retry-After"] == "5"
        assert own.client.get(f"/covers/{NOBODYS}").status_code == 404
    assert own.count("story_covers") == 0
    assert hint(own.send(b"no image"), 415) == "unsupported_image"  # gives its turn back too
    assert own.send(picture()).status_code == 201


def test_only_so_many_wait_for_the_store(own: OwnEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "STORE_SLOT_SECONDS", 0.05)
    gallery = own.client.application.extensions["gallery"]
    waiting = [gallery.store() for _ in range(routes.STORE_SLOTS)]
    for each in waiting:
        each.__enter__()
    assert hint(own.client.get(f"/covers/{NOBODYS}"), 503) == "store_unavailable"
    assert own.client.get("/healthz").status_code == 200
    waiting.pop().__exit__(None, None, None)
    assert hint(own.client.get(f"/covers/{NOBODYS}"), 404) == "not_found"
    for each in waiting:
        each.__exit__(None, None, None)


@pytest.fixture
def bucket_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket, found by the environment as an operator would have it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-tests")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="pictures-of-the-edge")
    client.close()
    yield "s3://pictures-of-the-edge/covers"
    server.stop()


@pytest.fixture
def own_with_bucket(own: OwnEdge, bucket_url: str) -> OwnEdge:
    own.client.application.extensions["gallery"] = routes.Gallery(bucket_url)
    return own


def test_an_edge_whose_store_is_a_bucket(own_with_bucket: OwnEdge) -> None:
    sent = own_with_bucket.send(picture())
    assert sent.status_code == 201 and sent.json is not None
    path = urlsplit(sent.json["cover_url"]).path
    served = own_with_bucket.client.get(path)
    assert (served.status_code, served.mimetype) == (200, "image/webp")
    assert path == f"/covers/{hashlib.sha256(served.data).hexdigest()}.webp"
    assert hint(own_with_bucket.client.get(f"/covers/{NOBODYS}"), 404) == "not_found"
    assert own_with_bucket.count("story_covers") == 1


@pytest.mark.parametrize(("origin", "may"), [(FRONTEND, True), ("https://evil.example", False)])
def test_a_frontend_of_ours_may_upload(own: OwnEdge, origin: str, may: bool) -> None:
    asked = own.client.options(
        f"/stories/{own.story}/covers",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    sent = own.send(picture(), Origin=origin)
    assert sent.status_code == 201
    for answer in (asked, sent):
        assert answer.headers.get("Access-Control-Allow-Origin") == (origin if may else None)
        assert "Access-Control-Allow-Credentials" not in answer.headers
