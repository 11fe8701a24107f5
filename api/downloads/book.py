"""A story as an EPUB 3 book.

Packed by hand: an EPUB is a ZIP of a few small XML files. Of the libraries for it one is under a
licence that would bind whoever runs this, the others leave titles unescaped or need much more than
they save. The same story at the same time is the same file, byte by byte.
"""

import zipfile
from datetime import UTC, datetime
from html import escape
from io import BytesIO

from api.downloads.manuscript import Manuscript
from api.downloads.page import TEXT_STYLE, chapter, heading, title_page

MEDIA_TYPE = "application/epub+zip"

FOLDER = "EPUB"
UNIX = 3  # the system of whose kind the permissions in the ZIP are
READABLE = 0o644 << 16
BOOK_STYLE = "body { margin: 5%; line-height: 1.5; }\n"

CONTAINER = f"""\
<?xml version="1.0" encoding="utf-8"?>
<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">
<rootfiles>
<rootfile full-path="{FOLDER}/package.opf" media-type="application/oebps-package+xml"/>
</rootfiles>
</container>
"""


def write(manuscript: Manuscript, made_at: datetime) -> bytes:
    """The file."""
    made_at = made_at.astimezone(UTC)
    files = {
        "META-INF/container.xml": CONTAINER,
        f"{FOLDER}/package.opf": _package(manuscript, made_at),
        f"{FOLDER}/nav.xhtml": _navigation(manuscript),
        f"{FOLDER}/style.css": TEXT_STYLE + BOOK_STYLE,
        f"{FOLDER}/title.xhtml": _document(manuscript, manuscript.title, title_page(manuscript)),
    }
    for each in manuscript.chapters:
        content = _document(manuscript, f"{each.number}. {each.title}", chapter(each, manuscript))
        files[f"{FOLDER}/chapter-{each.number}.xhtml"] = content
    output = BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        # First and as it is, so that the kind of file can be told from its first bytes.
        _add(archive, "mimetype", MEDIA_TYPE, made_at, zipfile.ZIP_STORED)
        for name, text in files.items():
            _add(archive, name, text, made_at, zipfile.ZIP_DEFLATED)
    return output.getvalue()


def _add(
    archive: zipfile.ZipFile, name: str, text: str, made_at: datetime, compression: int
) -> None:
    about = zipfile.ZipInfo(name, made_at.timetuple()[:6])
    about.compress_type = compression
    about.create_system = UNIX
    about.external_attr = READABLE
    archive.writestr(about, text.encode())


def _package(manuscript: Manuscript, made_at: datetime) -> str:
    """What the book is, what is in it, and in which order it is read."""
    language = escape(manuscript.language)
    about = [
        f'<dc:identifier id="copy">{escape(manuscript.identifier)}</dc:identifier>',
        f"<dc:title>{escape(manuscript.title)}</dc:title>",
        f"<dc:language>{language}</dc:language>",
    ]
    if manuscript.author:
        about.append(f"<dc:creator>{escape(manuscript.author)}</dc:creator>")
    if manuscript.description.strip():
        about.append(f"<dc:description>{escape(manuscript.description.strip())}</dc:description>")
    about.append(f"<dc:rights>{escape(manuscript.copy_line)}</dc:rights>")
    about.append(f'<meta property="dcterms:modified">{made_at:%Y-%m-%dT%H:%M:%SZ}</meta>')
    names = ["title", *(f"chapter-{each.number}" for each in manuscript.chapters)]
    items = [
        '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>',
        '<item id="style" href="style.css" media-type="text/css"/>',
        *(
            f'<item id="{name}" href="{name}.xhtml" media-type="application/xhtml+xml"/>'
            for name in names
        ),
    ]
    order = [f'<itemref idref="{name}"/>' for name in names]
    return "\n".join(
        [
            '<?xml version="1.0" encoding="utf-8"?>',
            '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"'
            f' unique-identifier="copy" xml:lang="{language}">',
            '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">',
            *about,
            "</metadata>",
            "<manifest>",
            *items,
            "</manifest>",
            "<spine>",
            *order,
            "</spine>",
            "</package>\n",
        ]
    )


def _navigation(manuscript: Manuscript) -> str:
    title = escape(manuscript.title)
    entries = [f'<li><a href="title.xhtml" dir="auto">{title}</a></li>']
    entries += [
        f'<li><a href="chapter-{each.number}.xhtml" dir="auto">{heading(each)}</a></li>'
        for each in manuscript.chapters
    ]
    listed = "\n".join(entries)
    return _document(
        manuscript,
        manuscript.title,
        f'<nav epub:type="toc" id="toc">\n<h1 dir="auto">{title}</h1>\n<ol>\n{listed}\n</ol>\n'
        "</nav>",
    )


def _document(manuscript: Manuscript, title: str, body: str) -> str:
    """One page of the book."""
    language = escape(manuscript.language)
    return f"""\
<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"\
 lang="{language}" xml:lang="{language}">
<head>
<title>{escape(title)}</title>
<link rel="stylesheet" type="text/css" href="style.css"/>
</head>
<body>
{body}
</body>
</html>
"""
