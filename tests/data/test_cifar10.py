"""CIFAR-10 from a small archive in the authors' format, against a real HTTP server; and what is decoded once."""

import errno
import functools
import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import numpy as np
import pytest

from src.config.checks import check_target
from src.config.errors import UserError
from src.data.cifar10 import ARCHIVE, CIFAR10
from src.data.dataset import SPLITS, Dataset
from src.data.decoded import Decoded
from src.data.sources import Mirror

EACH = 20  # images in each of the six batches
X = np.random.RandomState(0).randint(256, size=(6 * EACH, 3, 32, 32), dtype=np.uint8)
Y = np.random.RandomState(1).randint(10, size=6 * EACH)


def archive() -> bytes:
    """Batches in an order of their own, among other files, as in the original."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:

        def add(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

        add("readme.html", b"<html>")
        for number in (4, 5, 0, 2, 1, 3):
            rows = slice(number * EACH, (number + 1) * EACH)
            records = b"".join(bytes([y]) + x.tobytes() for x, y in zip(X[rows], Y[rows], strict=True))
            add("test_batch.bin" if number == 5 else f"data_batch_{number + 1}.bin", records)
        add("batches.meta.txt", b"airplane\n")
    return buffer.getvalue()


BYTES = archive()
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")  # batches.meta.txt


class Small(CIFAR10):
    files: ClassVar = {ARCHIVE: hashlib.sha256(BYTES).hexdigest()}
    rows: ClassVar = {"train": slice(0, 90), "validation": slice(90, 100), "test": slice(100, 120)}


class Handler(BaseHTTPRequestHandler):
    """Sends BYTES, from where it is asked to."""

    def __init__(self, asked: list, *rest) -> None:
        self.asked = asked
        super().__init__(*rest)

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append((self.path, wanted))
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(BYTES) - 1}/{len(BYTES)}")
        self.send_header("Content-Type", "application/x-gzip")
        self.send_header("Content-Length", str(len(BYTES) - start))
        self.end_headers()
        self.wfile.write(BYTES[start:])


@pytest.fixture
def server():
    """Its URL, and what it was asked."""
    asked: list = []
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, asked)) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/", asked
        http.shutdown()


@pytest.fixture
def small(tmp_path):
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / ARCHIVE).write_bytes(BYTES)
    return Small(tmp_path / "cifar10", sources=[])


def test_the_pinned_sizes_are_the_papers():
    rows = CIFAR10.rows
    assert [rows[name].stop - rows[name].start for name in SPLITS] == [45_000, 5_000, 10_000]
    assert rows["train"].start == 0
    assert rows["train"].stop == rows["validation"].start
    assert rows["validation"].stop == rows["test"].start == 50_000
    dataset: Dataset = CIFAR10("nowhere")
    assert dataset.spec.classes == CLASSES
    assert dataset.spec.shape == (3, 32, 32)


def test_splits(small):
    small.prepare()
    for name, rows in (("train", slice(0, 90)), ("validation", slice(90, 100)), ("test", slice(100, 120))):
        split = small.split(name)
        x, y = split["x"], split["y"]
        np.testing.assert_array_equal(x, X[rows])
        np.testing.assert_array_equal(y, Y[rows])
        assert (x.dtype, y.dtype) == (np.uint8, np.int64)
        assert isinstance(x, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            x[0] = 0
    assert small.hashes() == {ARCHIVE: hashlib.sha256(BYTES).hexdigest()}


def test_it_is_downloaded_and_decoded_once(server, tmp_path):
    url, asked = server
    for _ in range(2):
        Small(tmp_path, [Mirror(url, suffix="")]).prepare()
    assert asked == [(f"/{ARCHIVE}", None)]
    assert (tmp_path / ARCHIVE).read_bytes() == BYTES
    assert sorted(path.name for path in (tmp_path / "decoded").iterdir()) == ["images.npy", "labels.npy", "record.json"]


@pytest.mark.parametrize("begun", [BYTES[:10_000], b"another file's beginning"])
def test_a_download_goes_on_where_it_broke(server, tmp_path, begun):
    url, asked = server
    (tmp_path / f"{ARCHIVE}.gz.part").write_bytes(begun)
    small = Small(tmp_path, [Mirror(url, suffix="")])
    small.prepare()
    good = begun == BYTES[:10_000]
    assert [wanted for _, wanted in asked] == [f"bytes={len(begun)}-"] + ([] if good else [None])
    assert not list(tmp_path.glob("*.part"))
    np.testing.assert_array_equal(small.split("test")["x"], X[100:])


def test_a_mirror_with_other_bytes(server, tmp_path, capsys):
    with pytest.raises(UserError, match=rf"no source has {ARCHIVE}"):
        CIFAR10(tmp_path, [Mirror(server[0], suffix="")]).prepare()
    assert "has the wrong contents (SHA-256" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_one_line_says_where_to_put_the_archive(tmp_path):
    with pytest.raises(UserError, match=rf"no source has {ARCHIVE} .*copy .* into {tmp_path}") as error:
        CIFAR10(tmp_path, sources=[]).prepare()
    assert "\n" not in str(error.value)


def test_another_archive_is_never_opened(small):
    (small.folder / ARCHIVE).write_bytes(BYTES[:-1])
    with pytest.raises(UserError, match=r"is damaged or another file .*move it away"):
        small.prepare()
    assert not (small.folder / "decoded").exists()


def test_a_split_before_prepare(small):
    with pytest.raises(UserError, match=r"decoded is missing: run python -m src.prepare"):
        small.split("train")


def test_a_bit_that_changed_is_found_and_mended(small, capsys):
    small.prepare()
    path = small.folder / "decoded" / "images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    small.prepare()
    assert "decoded: damaged" in capsys.readouterr().out
    np.testing.assert_array_equal(small.split("test")["x"], X[100:])


def test_the_archive_may_be_deleted_afterwards(small):
    small.prepare()
    (small.folder / ARCHIVE).unlink()
    small.prepare()
    assert len(small.split("train")["x"]) == 90


def test_configs_from_elsewhere_may_not_name_what_writes_arrays():
    with pytest.raises(UserError, match="not allowed"):
        check_target("data.source.sources.0._target_", "src.data.decoded.Decoded", trusted=False)


# What is decoded once.


@pytest.mark.parametrize(
    ("error", "raised"),
    [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(errno.ENOSPC, "No space left on device"), UserError)],
)
def test_what_is_interrupted_leaves_nothing(tmp_path, error, raised):
    decoded = Decoded(tmp_path / "a", {"version": 1})

    def write(folder):
        (folder / "images.npy").write_bytes(b"half")
        raise error

    with pytest.raises(raised, match=r"No space left on device|^$"):
        decoded.make(write)
    assert [path.name for path in tmp_path.iterdir() if path.name != "a.lock"] == []
    assert not decoded.is_intact()


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    (tmp_path / ".a.tmp").mkdir()
    (tmp_path / ".a.tmp" / "images.npy").write_bytes(b"half")
    decoded = Decoded(tmp_path / "a", {})
    decoded.make(lambda folder: np.save(folder / "x.npy", np.arange(3)) or {"n": 3})
    assert decoded.is_intact()
    assert decoded.details() == {"n": 3}
    assert list(decoded.hashes()) == ["x.npy"]
    assert decoded.array("x").tolist() == [0, 1, 2]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "a.lock") == ["a"]


def test_arrays_of_another_source_are_made_again(tmp_path):
    def write(value):
        return lambda folder: np.save(folder / "x.npy", value) or {}

    Decoded(tmp_path / "a", {"version": 1}).make(write(1))
    Decoded(tmp_path / "a", {"version": 1}).make(write(2))
    assert Decoded(tmp_path / "a", {"version": 1}).array("x") == 1
    assert not Decoded(tmp_path / "a", {"version": 2}).is_intact()
    Decoded(tmp_path / "a", {"version": 2}).make(write(2))
    assert Decoded(tmp_path / "a", {"version": 2}).array("x") == 2


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b'{"source": {}}', b"\xff\xfe"])
def test_a_damaged_record_is_made_again(tmp_path, record):
    decoded = Decoded(tmp_path / "a", {})
    decoded.make(lambda folder: {})
    (tmp_path / "a" / "record.json").write_bytes(record)
    assert not decoded.is_intact()
    decoded.make(lambda folder: {"again": True})
    assert decoded.details() == {"again": True}
