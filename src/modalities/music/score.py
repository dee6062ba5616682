"""Scores as SVG, engraved by Verovio from MusicXML."""

import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from src.config.errors import UserError

WIDTH, SCALE = 1000, 40  # pixels of a line of music; percent of Verovio's size
# A note in text is in Verovio's own font, which would be 60 kB in each file.
QUARTER = re.compile('<tspan font-family="Leipzig" font-size="\\d+px">\ueca5</tspan>')
TALLEST = 60_000  # Verovio's units: a page for all lines


def svg(musicxml: str, marks: Mapping[str, str], width: int = WIDTH) -> str:
    """One picture of the whole score, with the marks as its metadata. The same input gives the same bytes."""
    toolkit: Any = _verovio().toolkit()
    toolkit.setOptions(
        {
            "pageWidth": width * 100 // SCALE,
            "pageHeight": TALLEST,
            "scale": SCALE,
            "adjustPageHeight": True,
            "breaks": "auto",
            "header": "none",
            "footer": "none",
            "xmlIdSeed": 1,
            "svgViewBox": True,
            "svgRemoveXlink": True,
            "smuflTextFont": "none",
            "justifyVertically": False,
            "minLastJustification": 0.6,
            "lyricTopMinMargin": 5.0,
            "spacingSystem": 8,
        }
    )
    if not toolkit.loadData(musicxml):
        raise ValueError("Verovio reads no score in this MusicXML")
    found = toolkit.renderToSVG(1)
    found = QUARTER.sub('<tspan font-size="480px">\N{QUARTER NOTE}</tspan>', found)
    metadata = f"<metadata>{escape(json.dumps(dict(marks)), quote=False)}</metadata>" if marks else ""
    size = r'<svg viewBox="0 0 (\d+) (\d+)"([^>]*>)'  # browsers show a picture without width and height in any size
    return re.sub(size, r'<svg viewBox="0 0 \1 \2" width="\1" height="\2"\3', found, count=1).replace(">", f">{metadata}", 1)


def _verovio() -> Any:
    try:
        import verovio
    except ImportError as error:
        raise UserError(f"scores need Verovio ({error}): pip install --constraint requirements.lock verovio") from error
    verovio.enableLog(verovio.LOG_ERROR)
    verovio.setDefaultResourcePath(str(Path(verovio.__file__).parent / "data"))  # it forgets its own in other threads
    return verovio
