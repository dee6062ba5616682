"""Every notebook of notebooks/: committed without outputs, runs from where people start it, leaves nothing behind."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHINESE = [path for path in NOTEBOOKS if path.stem.endswith(".zh")]
EMOJI = ROOT / "data" / "openmoji_captions" / "captions.jsonl"  # words_and_pictures cannot do without it
CHATTER = re.compile(r"Matplotlib is building the font cache.*\n?")  # once on a machine

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def untracked() -> set[str]:
    """Files of the repository that git neither tracks nor ignores."""
    command = ["git", "ls-files", "--others", "--exclude-standard"]
    return set(subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.splitlines())


@each_notebook
def test_committed_without_outputs_and_machine(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.metadata
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata.get("language_info", {})) <= {"name"}


@pytest.mark.parametrize("folder", [ROOT, ROOT / "notebooks"], ids=["root", "notebooks"])
@each_notebook
def test_the_first_cell_goes_to_the_root(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From wherever people start it; the cells below it see the root alone."""
    cell = next(cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    exec(cell.source, {})
    assert (Path.cwd(), sys.path[0]) == (ROOT, str(ROOT))


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path not in CHINESE], ids=lambda path: path.stem)
def test_runs_without_a_word_of_warning(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if path.stem == "words_and_pictures" and not EMOJI.is_file():
        pytest.skip("data/openmoji_captions is not there: python -m src.prepare data=emoji_captions gets it (4 MB)")
    monkeypatch.setenv("NOTEBOOK_FAST", "1")
    monkeypatch.setenv("NOTEBOOK_RUNS", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = untracked()
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    assert untracked() <= before

    streams = [output for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == "stream"]
    assert CHATTER.sub("", "".join(stream.text for stream in streams if stream.name == "stderr")) == ""


@pytest.mark.parametrize("path", CHINESE, ids=lambda path: path.stem)
def test_a_translation_has_the_same_cells_and_the_same_code(path: Path) -> None:
    """Apart from comments: it needs no execution of its own."""
    original = path.with_name(path.name.replace(".zh", ""))
    translated, cells = (nbformat.read(notebook, as_version=4).cells for notebook in (path, original))
    assert [(cell.id, cell.cell_type) for cell in translated] == [(cell.id, cell.cell_type) for cell in cells]
    for ours, theirs in zip(translated, cells, strict=True):
        if ours.cell_type == "code":
            assert ast.dump(ast.parse(ours.source)) == ast.dump(ast.parse(theirs.source)), ours.id
        else:
            assert re.search(r"[\u4e00-\u9fff]", ours.source), f"{ours.id} is not translated"


@pytest.mark.parametrize("name", ["first_gan", "first_gan.zh"])
def test_the_first_gans_text_holds_no_measured_number(name: str) -> None:
    """What a run gives is printed by the run; the text has settings, and a control's 0.05 and a blind guess's 0.5."""
    cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert set(re.findall(r"\d+\.\d+", text)) <= {"0.05", "0.5"}
