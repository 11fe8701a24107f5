"""The files themselves: valid in their formats, whatever the words are, and the same each time."""

import os
import re
import subprocess
import unicodedata
import zipfile
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from api.downloads import book, markdown, page
from api.downloads.making import LONGEST_NAME, MadeFile, UnmakableError, file_stem, make_file
from api.downloads.manuscript import Manuscript, clean
from tests.downloads import FORMATS, text_of

NOON = datetime(2026, 11, 21, 12, 0, 1, tzinfo=UTC)
MARK = "\u200b\u2060" * 28
OPF = "{http://www.idpf.org/2007/opf}"
DC = "{http://purl.org/dc/elements/1.1/}"
XHTML = "{http://www.w3.org/1999/xhtml}"
TYPE = "{http://www.idpf.org/2007/ops}type"
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

PERSIAN = "می‌خواهم"  # "I want", with a joiner that is not seen

EPUBCHECK = Path("/usr/share/java/epubcheck.jar")

NASTY = [
    "<script>alert(1)</script>",
    "a \"quoted\" & 'apostrophed' <b>word</b> &amp; &#65; ]]> <!-- x -->",
    "# no heading",
    "- no list",
    "+ nor this",
    "1. nor this",
    "2) nor this",
    "---",
    "===",
    "***",
    "> no quotation",
    "*no emphasis* and _none_ and **none** and ~~none~~",
    "`no code` and ``none``",
    "```",
    "[no link](https://example.com) and ![no image](x.png) and <https://example.com>",
    "[x]: https://example.com",
    "| no | table |",
    "a backslash \\ and one at the end \\",
    "control \x01\x02\x1b[31m characters\x7f\x80\ufffe\uffff\U0001ffff end",
    f"👩\u200d👩\u200d👧 {PERSIAN} «Да» 終わり e\u0301",
    "right \u202eto left",
]
EVERYTHING = [
    "# One\n## Two\n### Three\n###### Six\n#\nSet\n===\nSet\n---",
    "- a\n- b\n\n  c\n  1. d\n  2. e\n-\n\n999999999) f\n0) g",
    "> a\n> > b\n>\n> ---\n\n***\n\n>",
    '~~~a b"c&d\n<x>\n~~~\n\n    code & more\n\n```\nnever closed',
    "a  \nb\\\nc ``d ` <e>`` &copy; &#12; &#x1; &#xFFFE; &#0; &nbsp; &bogus;",
    "[a](https://example.com/ü?a=1&b=%zz#c#d \"t 'q' & <u>\") [](http://example.com)",
    "[a](http://) [b](http:///x) [c](https://a_b.c) [d](https://[::1]/) [e](mailto:a@b.c?d=e)",
    "[a](//x.y) [b](#c) [c](file:///etc) [d](data:text/html,x) <ftp://a.b/> <javascript:x>",
    "[*a* ![b](c) `d`](https://example.com) ![e [f](https://example.com)](g) ![](h)",
]


MARKED = [
    f"{word}{MARK} and more" for word in ("A", "終わり", PERSIAN, "👩\u200d👩\u200d👧", "e\u0301")
]


def story(**changed: Any) -> Manuscript:
    """A story as the database hands it out, nasty in every place."""
    row = {
        "title": 'Light & <Dark> "One"\x01\n# two',
        "author": "O'Neil <o@example.com>, B & C",
        "language": "en",
        "description": "What it is about.\n\n<i>More</i> & more\x02.",
        "copy_line": "This copy was made for R & <D> (r_d) on 2026-11-21. Copy 4F*2A.",
        "identifier": "urn:uuid:01a1ffba-4137-7cf7-b6a8-c7f37ff938a2",
        "chapters": [
            {"number": 1, "title": "<One> & *only*", "content": "\r\n\r\n".join(MARKED)},
            {"number": 2, "title": "\x03", "content": "\n\n".join(NASTY)},
            {
                "number": 10000,
                "title": "The last",
                "content": "  Indented [a](https://example.com) [b](javascript:c)\n\n\n",
            },
        ],
    }
    return Manuscript.from_row(row | changed)


def one_chapter(content: str = "Words.", **changed: Any) -> Manuscript:
    return story(chapters=[{"number": 1, "title": "One", "content": content}], **changed)


def files_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


# All formats ----------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", FORMATS)
def test_the_same_words_at_the_same_time_are_the_same_file(format_name: str) -> None:
    first = make_file(format_name, story(), NOON)
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9)))
    assert make_file(format_name, story(), elsewhere) == first
    assert first.chapters == 3
    assert isinstance(first, MadeFile)
    assert "alert(1)" not in repr(first)


@pytest.mark.parametrize("format_name", FORMATS)
def test_marks_and_joiners_survive(format_name: str) -> None:
    made = make_file(format_name, story(), NOON)
    text = text_of(made.content, made.media_type)
    assert text.count(MARK) == len(MARKED)
    for kept in ("👩\u200d👩\u200d👧", PERSIAN, "終わり", "e\u0301"):
        assert kept in text
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]", text)


@pytest.mark.parametrize("format_name", FORMATS)
def test_whose_copy_it_is_stands_before_and_behind_each_chapter(format_name: str) -> None:
    made = make_file(format_name, story(), NOON)
    text = text_of(made.content, made.media_type).replace("\\", "")
    assert text.count("This copy was made for R & <D> (r_d) on 2026-11-21.") == 1 + 3


def test_a_story_of_nothing_is_no_file() -> None:
    for format_name in FORMATS:
        with pytest.raises(UnmakableError, match="nothing left"):
            make_file(format_name, story(chapters=[]), NOON)
    with pytest.raises(UnmakableError, match="no such format"):
        make_file("pdf", story(), NOON)


@given(st.text())
def test_whatever_is_written_can_be_packed(text: str) -> None:
    manuscript = one_chapter(text, title=text, author=text, description=text, copy_line=text)
    for name, content in files_of(book.write(manuscript, NOON)).items():
        if name.endswith((".xhtml", ".opf", ".xml")):
            ElementTree.fromstring(content)
    markdown.write(manuscript)
    page.write(manuscript)


@given(st.text())
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    assert clean(clean(text)) == clean(text)


# Names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "stem"),
    [
        ("Carried Forward", "Carried Forward"),
        ("../../etc/passwd", "etc passwd"),
        ('a/b\\c:d*e?f"g<h>i|j', "a b c d e f g h i j"),
        ("...", "story"),
        ("", "story"),
        ("\u200c\u200d", "story"),
        ("🎉", "story"),
        ("NUL", "story NUL"),
        ("com7", "story com7"),
        ("-rf", "rf"),
        ("\u202egpj.exe", "gpj exe"),
        ("E\u0301te\u0301", "Été"),
        (PERSIAN, PERSIAN),
        ("終わり", "終わり"),
    ],
)
def test_a_title_becomes_the_name_of_a_file(title: str, stem: str) -> None:
    assert file_stem(title) == stem


@given(st.text(max_size=200))
def test_a_name_is_safe_whatever_the_title_is(title: str) -> None:
    name = file_stem(title)
    assert 0 < len(name.encode()) <= LONGEST_NAME + len("story ")
    assert not re.search(r'[/\\:*?"<>|.\n\r\t]', name)
    assert name == name.strip()
    kinds = {unicodedata.category(each) for each in name if each not in "\u200c\u200d"}
    assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_a_long_name_is_cut_between_letters() -> None:
    assert file_stem("終" * 200) == "終" * (LONGEST_NAME // 3)


# Markdown -------------------------------------------------------------------------------------


def test_markdown_keeps_a_text_as_its_author_wrote_it() -> None:
    text = (
        "# A *heading*\n\n1. [an item](javascript:x) &amp; <b>more</b>\\\n   ~~of it~~\n\n    code"
    )
    written = markdown.write(one_chapter(f"\n\n{text}\n\n")).decode()
    assert f"\n\n## 1. One\n\n{text}\n\n*This copy was made for" in written


@pytest.mark.parametrize("code", ["```\nx = 1", "~~~~py\n~~~\n\n", "> a\n\n```", "``` x\n```y"])
def test_code_without_an_end_ends_with_its_chapter(code: str) -> None:
    chapters = [{"number": n, "title": "T", "content": code} for n in (1, 2)]
    shown = MarkdownIt("commonmark").render(markdown.write(story(chapters=chapters)).decode())
    assert shown.count("<h2>") == 2
    assert shown.count("<em>This copy was made for") == 3


def test_markdown_shows_what_is_plain_as_it_was_written() -> None:
    """Read by a real reader of Markdown, there is no markup but the headings and whose it is."""
    shown = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    read = shown.render(markdown.write(one_chapter(description="\n".join(NASTY))).decode())
    parser = Reader()
    parser.feed(read)
    assert {tag for tag, _ in parser.tags} == {"h1", "h2", "p", "em", "strong", "br"}
    (paragraph,) = [each for each in parser.paragraphs if "no heading" in each]
    assert [line.strip() for line in paragraph.split("\n")] == [clean(line) for line in NASTY]


def test_what_stands_apart_in_a_description_stays_apart() -> None:
    about = one_chapter(description="one\ntwo\n\n \nthree\r\nfour")
    assert "\n\none\\\ntwo\n\nthree\\\nfour\n\n*This copy" in markdown.write(about).decode()
    shown = page.write(about).decode()
    assert re.findall(r'<p class="about( apart)?" dir="auto">(\w+)</p>', shown) == [
        (" apart", "one"),
        ("", "two"),
        (" apart", "three"),
        ("", "four"),
    ]


# HTML -----------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Tags with their attributes, and the text of paragraphs."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.paragraphs: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("br", "hr", "meta", "link"):
            self.open.append(tag)
        if tag == "p":
            self.paragraphs.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "p" in self.open:
            self.paragraphs[-1] += data


def test_the_page_needs_nothing_and_runs_nothing() -> None:
    reader = Reader()
    reader.feed(page.write(story()).decode())
    reader.close()
    assert reader.open == []
    assert {tag for tag, _ in reader.tags}.isdisjoint(
        {"script", "img", "iframe", "link", "object", "form", "base", "b", "i"}
    )
    for tag, attributes in reader.tags:
        assert "src" not in attributes
        assert tag == "a" or "href" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
    targets = {f"#{attributes['id']}" for _, attributes in reader.tags if "id" in attributes}
    links = [str(attributes["href"]) for tag, attributes in reader.tags if tag == "a"]
    assert links[:3] == ["#chapter-1", "#chapter-2", "#chapter-10000"]
    assert targets == set(links[:3])
    assert set(links[3:]) == {"https://example.com"}
    assert dict(reader.tags)["html"] == {"lang": "en"}


def test_the_page_shows_what_is_plain_as_it_was_written() -> None:
    reader = Reader()
    reader.feed(page.write(one_chapter(description="\n".join(NASTY))).decode())
    start = reader.paragraphs.index(NASTY[0])
    assert reader.paragraphs[start : start + len(NASTY)] == [clean(line) for line in NASTY]


# EPUB -----------------------------------------------------------------------------------------


def test_the_books_first_bytes_say_what_it_is() -> None:
    content = book.write(story(), NOON)
    with zipfile.ZipFile(BytesIO(content)) as archive:
        infos = archive.infolist()
    first = infos[0]
    assert (first.filename, first.compress_type, first.extra) == (
        "mimetype",
        zipfile.ZIP_STORED,
        b"",
    )
    assert content[30:58] == b"mimetypeapplication/epub+zip"
    names = [info.filename for info in infos]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9/.-]+", name) for name in names)
    assert {info.date_time for info in infos} == {(2026, 11, 21, 12, 0, 0)}


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "en"),
        ("pt-BR", "pt-BR"),
        ("zh-Hant-TW", "zh-Hant-TW"),
        ("de-1996", "de-1996"),
        ("fa", "fa"),
        ("en-12", "en"),
        ("en-ab-cd", "en"),
    ],
)
def test_a_book_says_its_language_everywhere(language: str, said: str) -> None:
    files = files_of(book.write(story(language=language), NOON))
    package = ElementTree.fromstring(files["EPUB/package.opf"])
    assert package.findtext(f"{OPF}metadata/{DC}language") == said
    for name, content in files.items():
        if name.endswith(".xhtml"):
            root = ElementTree.fromstring(content)
            assert (root.get("lang"), root.get(XML_LANG)) == (said, said)


def test_a_book_is_what_the_standard_asks_for() -> None:
    files = files_of(book.write(story(), NOON))
    container = ElementTree.fromstring(files["META-INF/container.xml"])
    (rootfile,) = container.iter("{urn:oasis:names:tc:opendocument:xmlns:container}rootfile")
    assert rootfile.attrib == {
        "full-path": "EPUB/package.opf",
        "media-type": "application/oebps-package+xml",
    }
    package = ElementTree.fromstring(files["EPUB/package.opf"])
    assert package.tag == f"{OPF}package"
    assert package.get("version") == "3.0"
    assert [each.tag for each in package] == [
        f"{OPF}{n}" for n in ("metadata", "manifest", "spine")
    ]

    metadata = package[0]
    (identifier,) = metadata.findall(f"{DC}identifier")
    assert identifier.get("id") == package.get("unique-identifier")
    assert identifier.text == "urn:uuid:01a1ffba-4137-7cf7-b6a8-c7f37ff938a2"
    assert metadata.findtext(f"{DC}title") == 'Light & <Dark> "One" # two'
    assert metadata.findtext(f"{DC}creator") == "O'Neil <o@example.com>, B & C"
    assert metadata.findtext(f"{DC}description") == "What it is about.\n\n<i>More</i> & more."
    (modified,) = metadata.findall(f"{OPF}meta[@property='dcterms:modified']")
    assert modified.text == "2026-11-21T12:00:01Z"

    items = {item.attrib["id"]: item.attrib for item in package[1]}
    assert len(items) == len(package[1])
    listed = {f"EPUB/{item['href']}": item["media-type"] for item in items.values()}
    assert set(listed) == set(files) - {"mimetype", "META-INF/container.xml", "EPUB/package.opf"}
    for name, media_type in listed.items():
        ending = name.rpartition(".")[2]
        assert media_type == {"xhtml": "application/xhtml+xml", "css": "text/css"}[ending]
    (navigation,) = [each for each in items.values() if each.get("properties") == "nav"]
    order = [each.attrib["idref"] for each in package[2]]
    assert [items[each]["href"] for each in order] == [
        "title.xhtml",
        "chapter-1.xhtml",
        "chapter-2.xhtml",
        "chapter-10000.xhtml",
    ]

    root = ElementTree.fromstring(files[f"EPUB/{navigation['href']}"])
    (nav,) = [each for each in root.iter(f"{XHTML}nav") if each.get(TYPE) == "toc"]
    links = [(each.get("href"), each.text) for each in nav.iter(f"{XHTML}a")]
    assert [target for target, _ in links] == [items[each]["href"] for each in order]
    assert links[1][1] == "1. <One> & *only*"
    for name, content in files.items():
        if not name.endswith(".xhtml"):
            continue
        root = ElementTree.fromstring(content)
        assert root.tag == f"{XHTML}html"
        assert root.findtext(f"{XHTML}head/{XHTML}title")
        ids = [each.get("id") for each in root.iter() if each.get("id")]
        assert len(set(ids)) == len(ids)
        used = {each.tag.removeprefix(XHTML) for each in root.iter()}
        assert used.isdisjoint({"script", "img", "iframe", "style", "form", "base", "b"})


def test_a_book_without_an_author_or_a_description_names_none() -> None:
    files = files_of(book.write(story(author="", description=" \n"), NOON))
    metadata = ElementTree.fromstring(files["EPUB/package.opf"])[0]
    assert metadata.find(f"{DC}creator") is None
    assert metadata.find(f"{DC}description") is None


@pytest.mark.skipif(
    not EPUBCHECK.exists() and "CI" not in os.environ,
    reason="epubcheck is not installed: apt-get install epubcheck",
)
def test_the_validator_of_the_standard_finds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "book.epub"
    every = [*NASTY, *EVERYTHING]
    nested = "\n".join(f"> - {n}. {line}" for n, line in enumerate(every))
    texts = ["\n\n".join(every), "\n".join(every), nested]
    chapters = [
        {"number": n, "title": f"T {n}", "content": text} for n, text in enumerate(texts, 1)
    ]
    chapters += [{"number": 100 + n, "title": "", "content": t} for n, t in enumerate(every)]
    file.write_bytes(book.write(story(language="fa", chapters=chapters), NOON))
    # As a program of its own it would need a kernel that knows how to run archives of Java.
    checked = subprocess.run(
        ["java", "-jar", str(EPUBCHECK), "--failonwarnings", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "0 fatals / 0 errors / 0 warnings" in checked.stdout
