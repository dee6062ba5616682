"""python -m src.tools.notebooks: execute the notebooks, and write each as a page with its output and figures to docs/notebooks.

The notebooks themselves stay without outputs. NAME.zh.ipynb is a translation of NAME.ipynb with the same code, which
tests/test_notebooks.py holds: it is not executed, and its page shows the output of the original.
"""

import base64
import importlib.metadata
import io
import re
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

from src.config import command_line
from src.config.errors import UserError, nearest
from src.runs.manifest import cpu
from src.system.files import write_atomic
from src.tools.readme import relative

SUFFIXES = {b"\x89PNG": "png", b"GIF8": "gif"}  # of figures, by their first bytes; other figures are SVG
GREYS, COLOURS = 9, 256  # of a figure; greys are evenly spaced, because a palette of the most frequent ones is nearly all black
FIRST_LINES = {
    "": "*Made by `{command}` from [{file}]({link}) on {machine}.*",
    "zh": "*本页由 `{command}` 执行 [{file}]({link}) 生成，机器是 {machine}。*",
}
# Of a training's progress lines a terminal shows the last, because each replaces the one before.
REPLACED = re.compile(r"^step .* samples/s  left .*\n(?=step .* samples/s  left )", re.MULTILINE)
# GitHub takes backslashes of $...$ for Markdown's escapes, but not those of code.
MATH_BLOCK, MATH = re.compile(r"\$\$\n?(.+?)\n?\$\$", re.DOTALL), re.compile(r"(?<!`)\$([^$`\n]+)\$(?!`)")


def notebooks(config: dict[str, Any]) -> list[Path]:
    """Execute the notebooks of `folder`, or one by name, and write their pages and figures to `out`. Returns the pages."""
    folder, out, name = Path(config["folder"]), Path(config["out"]), config["name"]
    found = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    originals = {stem: path for stem, path in found.items() if "." not in stem}
    if not originals:
        raise UserError(f"{folder} holds no notebooks: run this in the repository's folder, or name another with folder=")
    if name in found and name not in originals:
        raise UserError(f"{name} is a translation: name={name.partition('.')[0]} executes the original and writes both pages")
    if name is not None and name not in originals:
        raise UserError(f"there is no notebook {name} in {folder}: {nearest(name, originals)}")
    pages = []
    for original in originals if name is None else [name]:
        print(f"executing {originals[original]}", flush=True)
        cells = execute(originals[original])
        figures: list[bytes] = []
        shown = [shown_output(cell.get("outputs", []), original, figures) for cell in cells]
        write_figures(out / original, figures)
        for version in (path for stem, path in found.items() if stem.partition(".")[0] == original):
            page = out / f"{version.stem}.md"
            write_atomic(page, text_of_page(version, shown, out).encode())
            print(f"{page}: {len(figures)} figures, {sum(map(len, figures)) / 1000:.0f} kB")
            pages.append(page)
    return pages


def execute(path: Path) -> list[Any]:
    """The cells of a notebook with their outputs, after an execution in its folder. The file does not change."""
    notebook = nbformat.read(path, as_version=4)
    return NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(path.parent)}}).execute().cells


def text_of_page(path: Path, shown: list[str], out: Path) -> str:
    """The page of a notebook in folder `out`. shown: what stands below each of its cells."""
    name, _, language = path.stem.partition(".")
    head = FIRST_LINES[language].format(
        command=f"python -m src.tools.notebooks name={name}",
        file=path.name,
        link=relative(path, out / "page.md"),
        machine=f"{cpu()}, PyTorch {importlib.metadata.version('torch').partition('+')[0]}",
    )
    parts = [head]
    for cell, output in zip(nbformat.read(path, as_version=4).cells, shown, strict=True):
        parts += [source(cell), output]
    return "\n\n".join(part for part in parts if part) + "\n"


def source(cell: Any) -> str:
    """Prose or code of a cell, as Markdown."""
    if cell.cell_type == "code":
        return f"```python\n{cell.source}\n```"
    return MATH.sub(r"$`\1`$", MATH_BLOCK.sub(r"```math\n\1\n```", cell.source))


def shown_output(outputs: list[Any], name: str, figures: list[bytes]) -> str:
    """What a cell printed and displayed, as Markdown; its pictures are added to `figures`, as PNG, GIF or SVG files."""
    parts: list[str] = []
    printed = ""
    for output in outputs:
        if output.output_type == "stream":
            printed += output.text if output.name == "stdout" else ""
            continue
        parts, printed = [*parts, block(printed)], ""
        data = output.data
        if found := figure(data):
            figures.append(found)
            parts.append(f"![Figure {len(figures)}]({name}/{file_name(len(figures), found)})")
        elif "text/markdown" in data:
            parts.append(data["text/markdown"].strip())
        else:
            parts.append(block(data["text/plain"]))
    return "\n\n".join(part for part in [*parts, block(printed)] if part)


def figure(data: Any) -> bytes:
    """The file of a displayed picture; empty where something else is displayed."""
    if "image/png" in data:
        return small_png(base64.b64decode(data["image/png"]))
    if "image/gif" in data:
        return base64.b64decode(data["image/gif"])
    return data.get("image/svg+xml", "").encode()


def file_name(number: int, figure: bytes) -> str:
    return f"{number}.{SUFFIXES.get(figure[:4], 'svg')}"


def block(text: str) -> str:
    """Output as a block of text, without this machine's paths; empty for empty output."""
    text = REPLACED.sub("", text.replace(str(Path.cwd()), "~/aigc-lab")).strip("\n")
    return f"```text\n{text}\n```" if text.strip() else ""


def small_png(png: bytes) -> bytes:
    """The picture with few greys or colours, as the smallest of several PNG files."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    red, green, blue = (band.tobytes() for band in image.split())
    if red == green == blue:
        image = image.convert("L")
        few = image.point([round(level * (GREYS - 1) / 255) for level in range(256)])
        few.putpalette([round(number * 255 / (GREYS - 1)) for number in range(GREYS) for _ in "RGB"])
    else:
        few = image.quantize(COLOURS, dither=Image.Dither.NONE)
    files = [io.BytesIO(), io.BytesIO()]
    for version, file in zip((image, few), files, strict=True):
        version.save(file, "PNG", optimize=True)
    return min((file.getvalue() for file in files), key=len)


def write_figures(folder: Path, figures: list[bytes]) -> None:
    """Replace the folder's figures 1.png, 2.svg, 3.gif ... by these."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("[0-9]*.*"):
        old.unlink()
    for number, figure in enumerate(figures, 1):
        write_atomic(folder / file_name(number, figure), figure)


if __name__ == "__main__":
    command_line.run("notebooks", notebooks, nullable=("name",))
