"""Download of data files, checked by SHA-256.

A data set pins the SHA-256 of each file and lists its sources; `get` tries them in that order until every file is there.
A file appears under its own name only after its hash has matched, so the files do not depend on the source.
"""

import contextlib
import gzip
import hashlib
import io
import os
import queue
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from src.config.errors import UserError
from src.system.files import check_writable

CHUNK = 1 << 18  # bytes
PROGRESS = 2.0  # seconds between two progress messages


class SourceError(Exception):
    """A source failed, with the reason in one line; `get` tries the next source."""


class Source(Protocol):
    """A place that may have the files; `str(source)` is its name in messages."""

    def fetch(self, folder: Path, files: Mapping[str, str]) -> None:
        """Put `files` (name -> SHA-256) into `folder`; on failure, raises SourceError and keeps the complete files."""


def get(folder: Path, files: Mapping[str, str], sources: Sequence[Source]) -> bool:
    """Check every byte of `files` (name -> SHA-256) in `folder` and get missing files; returns whether any were missing.

    Raises UserError if a file has other bytes (it may be the user's, so it is never overwritten), if the folder cannot be
    written, or if no source has the files.
    """
    try:
        if missing(folder, files):
            check_writable(folder, "paths.data")
            with _download_lock(folder):
                _get_missing(folder, files, sources)
            return True
    except OSError as error:  # of the file system: network errors are SourceErrors
        raise UserError(f"cannot use {error.filename or folder}: {error.strerror}; choose another with paths.data=") from None
    return False


def missing(folder: Path, files: Mapping[str, str]) -> dict[str, str]:
    """The entries of `files` that are not in `folder`; raises UserError if a file there has other bytes."""
    absent = {}
    for name, sha256 in files.items():
        path = folder / name
        if not path.is_file():
            absent[name] = sha256
        elif digest(path) != sha256:
            raise UserError(f"{path} is damaged or another file (its SHA-256 differs): move it away and run again")
    return absent


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def install(stream: IO[bytes] | BufferedIOBase, path: Path, sha256: str) -> None:
    """Write `stream` to `path`; the file appears complete and with the right hash, or not at all (SourceError)."""
    part = path.with_name(f"{path.name}.part")
    found = hashlib.sha256()
    try:
        with open(part, "wb") as file:
            while chunk := _read(stream, path.name):
                found.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if found.hexdigest() != sha256:
            raise SourceError(f"{path.name} has the wrong contents (SHA-256 {found.hexdigest()[:12]}...)")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    path.with_name(f"{path.name}.gz.part").unlink(missing_ok=True)  # a mirror's partial download


def _read(stream: IO[bytes] | BufferedIOBase, name: str) -> bytes:
    try:
        return stream.read(CHUNK)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise SourceError(f"{name}.gz is cut short or no gzip file") from None


def _get_missing(folder: Path, files: Mapping[str, str], sources: Sequence[Source]) -> None:
    for source in sources:
        absent = missing(folder, files)  # again: another process may have got some
        if not absent:
            return
        print(f"{folder}: {source} ... ", end="", flush=True)
        try:
            source.fetch(folder, absent)
        except SourceError as error:
            print(error, flush=True)
        except BaseException:
            print("stopped", flush=True)
            raise
        else:
            print(f"got {len(absent)} files", flush=True)
    if absent := missing(folder, files):
        raise UserError(
            f"no source has {', '.join(absent)} (tried {', '.join(map(str, sources))}): copy them, under these names, into"
            f" {folder}, or set a DVC remote that has them (dvc remote add -d NAME URL), and run again"
        )


@contextlib.contextmanager
def _download_lock(folder: Path) -> Iterator[None]:
    """Only one process at a time gets the files of `folder`. The lock file is beside it, because DVC tracks the folder."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"{folder}: another process is getting these files, waiting for it", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@dataclass(frozen=True)
class Derived:
    """Files that a function makes of one archive, whose bytes are checked first.

    An archive that lies in the folder is used and kept; one that had to be fetched is deleted when the files are made.

    archive: where the archive is. name, sha256: of the archive. make: the archive's path -> the bytes of each file, by name.
    """

    archive: Source
    name: str
    sha256: str
    make: Callable[[Path], Mapping[str, bytes]]

    def __str__(self) -> str:
        return f"{self.name} from {self.archive}"

    def fetch(self, folder: Path, files: Mapping[str, str]) -> None:
        """See Source."""
        path = folder / self.name
        there = path.is_file()
        if not there:
            self.archive.fetch(folder, {self.name: self.sha256})
        elif digest(path) != self.sha256:
            raise SourceError(f"{path} is damaged or another file: move it away")
        try:
            print("reading it ... ", end="", flush=True)
            made = self.make(path)
            for name, sha256 in files.items():
                install(io.BytesIO(made[name]), folder / name, sha256)
        finally:
            if not there:
                path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Mirror:
    """A folder on an HTTP server with each file as NAME.gz or as NAME.

    timeout: seconds for the connection, and for each read. suffix: ".gz", or "" if the server does not gzip the files.
    """

    url: str
    timeout: float = 5.0
    suffix: str = ".gz"

    def __str__(self) -> str:
        return self.url

    def fetch(self, folder: Path, files: Mapping[str, str]) -> None:
        """See Source. An interrupted download leaves NAME.gz.part, and the next one continues it."""
        for name, sha256 in files.items():
            self._fetch_file(folder / name, sha256)

    def _fetch_file(self, path: Path, sha256: str) -> None:
        part = path.with_name(f"{path.name}.gz.part")
        resumed = self._download(f"{self.url}{path.name}{self.suffix}", part)
        try:
            with gzip.open(part) if self.suffix else open(part, "rb") as stream:
                install(stream, path, sha256)
        except SourceError:
            part.unlink()
            if not resumed:
                raise
            self._fetch_file(path, sha256)  # the part was damaged or another mirror's: download the whole file

    def _download(self, url: str, part: Path) -> bool:
        """Download the rest of `part`; returns whether it continued an earlier download."""
        name = url.rpartition("/")[2]
        done = part.stat().st_size if part.exists() else 0
        response = self._open(Request(url, headers={"Range": f"bytes={done}-"} if done else {}))
        if response is None:  # nothing after `done`: the part is complete
            return True
        with response:
            if response.headers.get_content_type() == "text/html":
                raise SourceError(f"{name}: a web page came instead of the file")
            if not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
                done = 0  # the server does not support ranges and sends the whole file
            resumed = done > 0
            length = response.headers.get("Content-Length")
            total = done + int(length) if length else None
            last_report = time.monotonic()
            with open(part, "ab" if resumed else "wb") as file:
                while True:
                    try:
                        chunk = response.read1(CHUNK)
                    except (OSError, HTTPException) as error:
                        raise SourceError(f"{name}: the connection broke after {done:,} bytes ({error})") from None
                    if not chunk:
                        break
                    file.write(chunk)
                    done += len(chunk)
                    if time.monotonic() - last_report > PROGRESS:
                        print(f"{done / 1e6:.1f}{f'/{total / 1e6:.1f}' if total else ''} MB ", end="", flush=True)
                        last_report = time.monotonic()
        if total and done < total:
            raise SourceError(f"{name}: the connection closed after {done:,} of {total:,} bytes")
        return resumed

    def _open(self, request: Request) -> Any:
        """The response, or None if the requested range is empty.

        The request runs in its own thread: a DNS lookup can hang for minutes and has no timeout.
        """
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(urlopen(request, timeout=self.timeout))
            except Exception as error:
                answers.put(error)

        threading.Thread(target=ask, daemon=True).start()
        try:
            answer = answers.get(timeout=2 * self.timeout)
        except queue.Empty:
            raise SourceError(f"no answer in {2 * self.timeout:g} s") from None
        if isinstance(answer, HTTPError) and answer.code == 416 and request.has_header("Range"):
            return None
        if isinstance(answer, HTTPError):
            raise SourceError(f"{request.full_url.rpartition('/')[2]}: HTTP {answer.code} {answer.reason}")
        if isinstance(answer, Exception):
            reason = answer.reason if isinstance(answer, URLError) else answer
            raise SourceError(getattr(reason, "strerror", None) or str(reason))
        return answer
