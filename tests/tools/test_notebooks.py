"""Notebooks as pages: prose, code, output and figures; the committed pages belong to the committed notebooks."""

import io
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from PIL import Image

from src.config.errors import UserError
from src.tools.notebooks import block, notebooks, small_png, source

ROOT = Path(__file__).parent.parent.parent
PAGES = ROOT / "docs" / "notebooks"
COMMITTED = sorted(PAGES.glob("*.md"))

CODE = """\
import io
import sys
from IPython.display import Image as Shown
from IPython.display import Markdown, display
from PIL import Image

print("two words")
print("not for the page", file=sys.stderr)
display(Markdown("**table**"))
display(Image.new("RGB", (40, 30), "#d55e00"))
display({"image/svg+xml": "<svg/>", "text/plain": "score"}, raw=True)
film = io.BytesIO()
Image.new("L", (8, 8)).save(film, "GIF")
display(Shown(data=film.getvalue(), format="gif"))"""


def config(folder: Path, name: str | None = None) -> dict[str, Any]:
    return {"name": name, "folder": str(folder), "out": str(folder / "pages")}


def write_notebook(path: Path, prose: str, code: str = CODE) -> None:
    cells = [nbformat.v4.new_markdown_cell(prose), nbformat.v4.new_code_cell(code)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def test_a_notebook_and_its_translation_become_pages(tmp_path: Path) -> None:
    write_notebook(tmp_path / "tiny.ipynb", "# Prose\n\nwith $x\\,y$.")
    write_notebook(tmp_path / "tiny.zh.ipynb", "# 中文")
    (tmp_path / "pages" / "tiny").mkdir(parents=True)
    (tmp_path / "pages" / "tiny" / "2.png").touch()
    before = (tmp_path / "tiny.ipynb").read_bytes()
    english, chinese = (page.read_text() for page in notebooks(config(tmp_path)))
    assert (tmp_path / "tiny.ipynb").read_bytes() == before

    first, rest = english.split("\n\n", 1)
    assert "`python -m src.tools.notebooks name=tiny` from [tiny.ipynb](../tiny.ipynb)" in first
    shown = f"```python\n{CODE}\n```\n\n```text\ntwo words\n```\n\n**table**\n\n"
    shown += "![Figure 1](tiny/1.png)\n\n![Figure 2](tiny/2.svg)\n\n![Figure 3](tiny/3.gif)\n"
    assert rest == f"# Prose\n\nwith $`x\\,y`$.\n\n{shown}"
    assert chinese.endswith(f"# 中文\n\n{shown}")
    assert sorted(path.name for path in (tmp_path / "pages" / "tiny").iterdir()) == ["1.png", "2.svg", "3.gif"]
    assert (tmp_path / "pages" / "tiny" / "2.svg").read_text() == "<svg/>"
    assert (tmp_path / "pages" / "tiny" / "3.gif").read_bytes().startswith(b"GIF8")
    with Image.open(tmp_path / "pages" / "tiny" / "1.png") as image:
        assert image.size == (40, 30)
        assert image.convert("RGB").getpixel((5, 5)) == (0xD5, 0x5E, 0x00)


def test_a_name_that_is_no_notebook_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no notebooks"):
        notebooks(config(tmp_path))
    write_notebook(tmp_path / "tiny.ipynb", "")
    write_notebook(tmp_path / "tiny.zh.ipynb", "")
    with pytest.raises(UserError, match="did you mean tiny"):
        notebooks(config(tmp_path, "tinny"))
    with pytest.raises(UserError, match="name=tiny executes the original"):
        notebooks(config(tmp_path, "tiny.zh"))


def test_of_progress_lines_the_last_stays_and_paths_of_the_machine_do_not() -> None:
    steps = "step 1  9 samples/s  left 0:09  loss 2\nstep 2  9 samples/s  left 0:00  loss 1\n"
    assert block(f"in {Path.cwd()}/runs\n{steps}evaluating\n").splitlines()[1:-1] == [
        "in ~/aigc-lab/runs",
        "step 2  9 samples/s  left 0:00  loss 1",
        "evaluating",
    ]


def test_grey_pictures_keep_their_greys_within_a_palettes_step() -> None:
    greys = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(greys).convert("RGB").save(file := io.BytesIO(), "PNG")
    small = small_png(file.getvalue())
    assert len(small) < len(file.getvalue()) / 4
    with Image.open(io.BytesIO(small)) as image:
        assert np.abs(np.array(image.convert("L"), dtype=int) - greys).max() <= 16


@pytest.mark.parametrize("page", COMMITTED, ids=lambda page: page.stem)
def test_a_committed_page_has_the_prose_and_the_code_of_its_notebook(page: Path) -> None:
    """After a change of code the command has to be run; a change of prose alone may be made in both by hand."""
    text, place = page.read_text(), 0
    for cell in nbformat.read(ROOT / "notebooks" / f"{page.stem}.ipynb", as_version=4).cells:
        found = text.find(source(cell), place)
        assert found >= 0, f"python -m src.tools.notebooks name={page.stem.partition('.')[0]}: cell {cell.id} has changed"
        place = found + len(source(cell))


def test_the_figures_of_all_pages_are_small() -> None:
    assert 0 < sum(path.stat().st_size for path in PAGES.rglob("*.png")) < 850_000
