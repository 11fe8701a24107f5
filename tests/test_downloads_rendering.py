"""Markdown in the files: shown as what it is, harmless, and not changed by the marks in it."""

import random
import re
from collections.abc import Callable
from xml.etree import ElementTree

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.downloads.manuscript import clean
from api.downloads.rendering import missing_fence, render

NewDatabase = Callable[[], str]

MARKS = re.compile("[\u200b\u2060]")
PERSIAN = "می‌خواهم"  # "I want", with a joiner that is not seen
# What Markdown is made of, and what stands beside it.
PIECES = [
    *("#", "##", "# ", "- ", "* ", "+ ", "1. ", "2) ", "1.", "10)", "> ", "---", "===", "***"),
    *("```", "~~~", "~~~py", "*", "**", "_", "__", "`", "``", "\\", "\\*", "\\\\", "\\[", "\\]"),
    *("[", "]", "(", ")", "](", "]:", "][", "![", "!", "<", ">", "&", "&amp;", "&copy", "&#12;"),
    *("https://a.b/c", "<https://a.b>", "/url", '"', "'", '"t"', '"t u"', '<b class="x y">', "|"),
    *(
        "word",
        "two words",
        "No.",
        "He",
        "a",
        "b",
        "foo",
        "終",
        "“Ja”",
        "…",
        "—",
        "👩\u200d👩\u200d👧",
    ),
    *(PERSIAN, "e\u0301", "1986", "1986.", "x_y", "a*b", ".", ",", "\x01", "\u200b"),
    *("[foo]", "[foo bar]", '[foo bar]: http://a.b "t"', "\n[foo\nbar]: x\n", "[foo]:\n/u\n'v'\n"),
    *('[a](http://x.y/z "t u")', '[a](http://x.y/(z) "t")', "[a b](http://x.y", "![a b](c d"),
    *("\u00a0", "\u3000", "\u2003", "\t", "    ", "  \n", "\\\n", "\r\n", "\u2028"),
    *("\n", "\n", "\n", "\n\n", "\n\n", " ", " ", " ", " "),
]


def paragraph(text: str) -> str:
    return f'<p dir="auto">{text}</p>'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("One\ntwo\n\nthree", paragraph("One\ntwo") + "\n" + paragraph("three")),
        ("One  \ntwo\\\nthree", paragraph("One<br />\ntwo<br />\nthree")),
        ("*a* **b** `c`", paragraph("<em>a</em> <strong>b</strong> <code>c</code>")),
        ("\\*a\\* &amp; &lt;", paragraph("*a* &amp; &lt;")),
        ("# A", '<h3 dir="auto">A</h3>'),
        ("A\n---", '<h4 dir="auto">A</h4>'),
        ("###### A", '<h6 dir="auto">A</h6>'),
        ("---", "<hr />"),
        ("> a", f"<blockquote>\n{paragraph('a')}\n</blockquote>"),
        ("- a\n- b", '<ul>\n<li dir="auto">a</li>\n<li dir="auto">b</li>\n</ul>'),
        ("3. a", '<ol start="3">\n<li dir="auto">a</li>\n</ol>'),
        ("```py\na < b\n```", '<pre><code class="language-py">a &lt; b\n</code></pre>'),
        ("    a", "<pre><code>a\n</code></pre>"),
        # No HTML.
        ("<b>a</b>", paragraph("&lt;b&gt;a&lt;/b&gt;")),
        ("<!-- a -->", paragraph("&lt;!-- a --&gt;")),
        ("<script>\na\n\nb", paragraph("&lt;script&gt;\na") + "\n" + paragraph("b")),
        # No pictures, but what they show.
        ("![a *b* c](d.png)", paragraph("a b c")),
        ("![](d.png)", paragraph("")),
        ("![<b>](d.png)", paragraph("&lt;b&gt;")),
        # No character that XML cannot hold.
        ("a&#12;b", paragraph("a\nb")),
        ("a&#1;b&#xFFFE;", paragraph("a\ufffdb\ufffd")),
    ],
)
def test_markdown_is_shown_as_what_it_is(text: str, shown: str) -> None:
    assert render(text) == shown


@pytest.mark.parametrize(
    "address",
    [
        "https://example.com",
        "http://example.com:8080/a/b.html?c=d&e=%26f#g",
        "HTTPS://example.com/(a)",
        "mailto:a.b+c@example.com?subject=d",
    ],
)
def test_links_lead_there(address: str) -> None:
    shown = address.replace("&", "&amp;")
    link = f'<a href="{shown}" rel="nofollow noreferrer">'
    assert render(f"[a *b*]({address}) c") == paragraph(f"{link}a <em>b</em></a> c")
    assert render(f"<{address}>") == paragraph(f"{link}{shown}</a>")
    assert render(f"[a]\n\n[a]: <{address}>") == paragraph(f"{link}a</a>")


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)",
        "java&#115;cript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "ftp://example.com",
        "tel:1",
        "//example.com",
        "/a",
        "a",
        "#a",
        "",
        "http://",
        "http:///a",
        "https:example.com",
        "https://a_b.example",
        "https://-a.example",
        "https://a:b@example.com",
        "https://[::1]/",
        "https://example.com:x/",
        "https://example.com\\@evil.example",
        "mailto:",
        "mailto:a",
    ],
)
def test_links_to_elsewhere_are_words(address: str) -> None:
    assert render(f"[a *b*]({address}) c") == paragraph("a <em>b</em> c")
    assert render(f"[![a]({address})]({address})") == paragraph("a")


@pytest.mark.parametrize(
    "code", ["```\nx\n```", "~~~\nx\n~~~~  ", "> ```", "`x`", "```\nx\n```\n\ny", ""]
)
def test_code_with_an_end_gets_no_other(code: str) -> None:
    assert missing_fence(code) is None


def well_formed(shown: str) -> None:
    root = ElementTree.fromstring(f"<body>{shown}</body>")
    for element in root.iter():
        assert element.tag not in ("script", "img", "b")
        assert set(element.keys()) <= {"dir", "href", "rel", "title", "start", "class"}
        assert element.get("href", "http://").startswith(("http://", "https://", "mailto:"))


@given(st.text() | st.lists(st.sampled_from(PIECES)).map("".join))
def test_whatever_is_written_is_well_formed(text: str) -> None:
    well_formed(render(clean(text)))


def texts(seed: int, count: int) -> list[str]:
    source = random.Random(seed)
    return ["".join(source.choices(PIECES, k=source.randint(1, 25))) for _ in range(count)]


def test_marks_change_nothing_but_themselves(migrated_database: NewDatabase) -> None:
    written = texts(seed=20261121, count=10_000)
    with psycopg.connect(migrated_database()) as connection:
        marked = connection.execute(
            "select app.weave_watermark(t.content, 4711)"
            " from unnest(%s::text[]) with ordinality as t (content, place) order by t.place",
            (written,),
        ).fetchall()
    marks = 0
    for plain, (woven,) in zip(written, marked, strict=True):
        assert MARKS.sub("", woven) == MARKS.sub("", clean(plain))
        shown = render(clean(woven))
        assert MARKS.sub("", shown) == render(MARKS.sub("", clean(plain))), (plain, woven)
        marks += len(MARKS.findall(shown)) // 56
    assert marks > len(written) / 2
