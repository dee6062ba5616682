"""HTML that the pages share. All text from run folders is escaped."""

from collections.abc import Iterable
from html import escape
from pathlib import Path

from src.reporting import verses
from src.reporting.tables import Group

COLOURS = 7  # .c0 .. .c6 in style.css; more groups reuse them, as rings
STYLE = Path(__file__).with_name("style.css")

# The page may load nothing and run no scripts, whatever a run folder contains.
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


def document(title: str, lead: str, sections: Iterable[str], notes: str) -> str:
    """A complete HTML file. title: text, escaped here; lead, sections, notes: HTML."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>
{STYLE.read_text()}{verses.STYLE.read_text()}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
{lead}
</header>
<main>
{"".join(sections)}
</main>
<footer>
<p>{notes}</p>
</footer>
</body>
</html>
"""


def name_of(group: Group, index: int) -> str:
    """A recipe's label with its colour in the charts."""
    colour = f"c{index % COLOURS}" + (" dashed" if index // COLOURS % 2 else "")
    swatch = f'<svg class="swatch {colour}" viewBox="0 0 12 12" aria-hidden="true"><circle cx="6" cy="6" r="5"/></svg>'
    return f"{swatch} {escape(group.label)}"


def texts(values: Iterable[object]) -> list[str]:
    return [escape(str(value)) for value in values]


def row(head: str, cells: Iterable[str], style: str = "") -> str:
    """A row of a table; head and cells are HTML."""
    values = "".join(f"<td>{cell}</td>" for cell in cells)
    kind = f' class="{style}"' if style else ""
    return f'<tr{kind}><th scope="row">{head}</th>{values}</tr>'


def grid(heads: Iterable[str], rows: Iterable[str]) -> str:
    """A table; the columns' heads are HTML, the rows come from `row`."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in heads)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def figure(content: str, caption: str) -> str:
    """A figure with its caption; empty without content."""
    return f"<figure>{content}<figcaption>{caption}</figcaption></figure>" if content else ""


def folded(summary: str, content: str) -> str:
    """A section that is closed at first; empty without content."""
    return f"<details><summary>{summary}</summary>{content}</details>" if content else ""


def listing(items: Iterable[tuple[object, object]]) -> str:
    """A list of names and values, escaped here; empty without items."""
    found = "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>" for name, value in items)
    return f"<dl>{found}</dl>" if found else ""
