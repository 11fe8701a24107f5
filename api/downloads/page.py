"""A story as one page of HTML that needs nothing else: to read, and to print."""

from html import escape

from api.downloads.manuscript import Chapter, Manuscript, lines
from api.downloads.rendering import render

MEDIA_TYPE = "text/html; charset=utf-8"

# A page has no script, and asks nobody for anything.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

# What the books share.
TEXT_STYLE = """\
p { margin: 0 0 1em; overflow-wrap: break-word; }
p.about { margin: 0; white-space: pre-wrap; }
p.apart { margin-top: 1em; }
p.copy { margin-top: 2em; font-size: 0.8em; font-style: italic; }
pre { white-space: pre-wrap; overflow-wrap: break-word; }
h1, h2, h3, h4, h5, h6 { line-height: 1.25; overflow-wrap: break-word; break-after: avoid; }
"""
PAGE_STYLE = """\
:root { color-scheme: light dark; }
body { max-width: 38rem; margin: 2rem auto; padding: 0 1rem; font: 1.1rem/1.6 Georgia, serif; }
section { margin-top: 4rem; }
@media print {
  body { max-width: none; margin: 0; padding: 0; font-size: 11pt; }
  nav { display: none; }
  section { margin-top: 0; break-before: page; }
  p { orphans: 2; widows: 2; }
}
"""


def write(manuscript: Manuscript) -> bytes:
    """The file."""
    contents = "\n".join(
        f'<li><a href="#chapter-{each.number}" dir="auto">{heading(each)}</a></li>'
        for each in manuscript.chapters
    )
    chapters = "\n".join(
        f'<section id="chapter-{each.number}">\n{chapter(each, manuscript)}\n</section>'
        for each in manuscript.chapters
    )
    text = f"""\
<!DOCTYPE html>
<html lang="{escape(manuscript.language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{escape(manuscript.title)}</title>
<style>
{TEXT_STYLE}{PAGE_STYLE}</style>
</head>
<body>
<header>
{title_page(manuscript)}
</header>
<nav>
<ul>
{contents}
</ul>
</nav>
<main>
{chapters}
</main>
</body>
</html>
"""
    return text.encode()


def title_page(manuscript: Manuscript) -> str:
    """What the first page says; well-formed as XML too."""
    parts = [f'<h1 dir="auto">{escape(manuscript.title)}</h1>']
    if manuscript.author:
        parts.append(f'<p class="author" dir="auto">{escape(manuscript.author)}</p>')
    parts += _paragraphs(manuscript.description)
    parts.append(_copy(manuscript))
    return "\n".join(parts)


def chapter(each: Chapter, manuscript: Manuscript) -> str:
    """A chapter with its heading, and whose copy it is; well-formed as XML too."""
    parts = [f'<h2 dir="auto">{heading(each)}</h2>', render(each.content), _copy(manuscript)]
    return "\n".join(part for part in parts if part)


def heading(each: Chapter) -> str:
    """A chapter's number and title, escaped."""
    return f"{each.number}. {escape(each.title)}"


def _paragraphs(text: str) -> list[str]:
    """A plain text: a line is a line, and spaces in it stay."""
    return [
        f'<p class="about{_apart(line.is_apart or not number)}" dir="auto">{escape(line.text)}</p>'
        for number, line in enumerate(lines(text))
    ]


def _apart(is_apart: bool) -> str:
    return " apart" if is_apart else ""


def _copy(manuscript: Manuscript) -> str:
    return f'<p class="copy" dir="auto">{escape(manuscript.copy_line)}</p>'
