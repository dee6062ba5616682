import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from src.config.errors import UserError
from src.config.identity import data_digest
from src.runs.checkpoints import digest_path, load_checkpoint, save_checkpoint
from src.runs.folder import RunFolder
from src.runs.load import load_run
from src.runs.publish import publish


@pytest.fixture
def run(tmp_path: Path) -> Any:
    with RunFolder(tmp_path / "run") as folder:
        yield folder


def test_held_by_one_process_and_a_killed_owner_does_not_block(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from src.runs.folder import RunFolder
from src.runs.publish import publish
with RunFolder(Path({str(tmp_path)!r}) / "run"):
    print("held", flush=True)
    time.sleep(60)
"""
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="is held by another process"), RunFolder(tmp_path / "run"):
        pass
    (tmp_path / "run" / "config.yaml").touch()
    with pytest.raises(UserError, match="is held by another process"):
        RunFolder(tmp_path / "run").set_aside()
    owner.kill()
    owner.wait()
    with RunFolder(tmp_path / "run"):
        pass


def test_checkpoints_come_back(run: RunFolder) -> None:
    path = run.checkpoint_path("step", 5)
    save_checkpoint({"weights": torch.arange(3), "clock": {"step": 5}}, path)
    loaded = load_checkpoint(path)
    assert torch.equal(loaded["weights"], torch.arange(3))
    assert loaded["clock"] == {"step": 5}
    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["step-000000005.ckpt", "step-000000005.ckpt.sha256"]


def damage_one_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize("digests", [True, False])
@pytest.mark.parametrize("damage", [damage_one_bit, truncate])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(
    run: RunFolder, damage: Any, digests: bool, capsys: pytest.CaptureFixture
) -> None:
    for step in (5, 10):
        save_checkpoint({"step": torch.full((100,), step)}, run.checkpoint_path("step", step))
        if not digests:  # a copy without them is as good
            digest_path(run.checkpoint_path("step", step)).unlink()
    damage(run.checkpoint_path("step", 10))
    assert run.newest("step") == run.checkpoint_path("step", 5)
    assert "step-000000010.ckpt is damaged, the one before it is used" in capsys.readouterr().err
    assert load_checkpoint(run.checkpoint_path("step", 5))["step"][0] == 5
    with pytest.raises(UserError, match="is damaged"):
        load_checkpoint(run.checkpoint_path("step", 10))


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("config.yaml", "3", RunFolder.config),
        ("config.yaml", "{seed: 0, name: a, data: {}, model: 3, trainer: {}, stop: {}, evaluation: {}}", RunFolder.config),
        ("manifest.json", '{"ended": 3}', RunFolder.manifest),
        ("manifest.json", '{"spec": {"x": 3}}', RunFolder.spec),
        ("metrics.json", "{}", RunFolder.result),
    ],
)
def test_a_file_of_another_form_is_named(run: RunFolder, name: str, text: str, read: Any) -> None:
    (run.path / name).write_text(text)
    with pytest.raises(UserError, match=f"{name} is damaged"):
        read(run)


def test_the_folder_above_the_seeds_is_no_run_and_says_so(run: RunFolder) -> None:
    seed = run.path / "0"
    seed.mkdir()
    (seed / "config.yaml").touch()
    with pytest.raises(UserError, match=rf"is not a run folder.*did you mean {seed}\?"):
        RunFolder.existing(run.path)


@pytest.mark.parametrize("changes", [{"stop": {"images": 640}}, {"log": {}}])
def test_a_config_of_an_earlier_version_is_named(changes: dict[str, Any], run: RunFolder, compose: Any) -> None:
    run.write_config(compose("model=mlp_gan") | changes)
    with pytest.raises(UserError, match=r"config\.yaml is damaged or of an earlier version \(.*\): restore an intact copy"):
        run.experiment()


def test_prune_keeps_the_newest(run: RunFolder) -> None:
    for step in (1, 2, 3):
        save_checkpoint({}, run.checkpoint_path("step", step))
    save_checkpoint({}, run.checkpoint_path("best", 1))
    run.prune("step", keep=2)
    assert [path.stem for path in sorted(run.checkpoints.glob("*.ckpt"))] == [
        "best-000000001",
        "step-000000002",
        "step-000000003",
    ]


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    """The limit on the size of files stands in for it."""
    code = f"""
import resource, signal, sys
from pathlib import Path
import torch
from src.config.errors import UserError
from src.runs.checkpoints import save_checkpoint
from src.runs.folder import RunFolder
from src.runs.publish import publish
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with RunFolder(Path({str(tmp_path)!r}) / "run") as run:
    save_checkpoint({{"w": torch.zeros(10)}}, run.checkpoint_path("step", 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
    try:
        save_checkpoint({{"w": torch.zeros(100000)}}, run.checkpoint_path("step", 2))
    except UserError as error:
        print(error)
    print(run.newest("step"), [p.name for p in run.checkpoints.iterdir() if "tmp" in p.name])
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    lines = answer.stdout.splitlines()
    assert "cannot save" in lines[0]
    assert "make room" in lines[0]
    assert "step-000000001.ckpt []" in lines[1]


def test_writing_is_atomic_for_a_reader(tmp_path: Path) -> None:
    """Whoever reads while another writes sees a whole file, old or new."""
    from src.system.files import write_json

    path = tmp_path / "value.json"
    write_json(path, {"n": 0, "fill": "x" * 100_000})
    done = threading.Event()
    seen = []

    def read() -> None:
        while not done.is_set():
            seen.append(json.loads(path.read_text())["n"])

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(200):
        write_json(path, {"n": n, "fill": "x" * 100_000})
    done.set()
    reader.join()
    assert seen == sorted(seen)
    assert len(list(tmp_path.iterdir())) == 1


def test_json_refuses_nan(tmp_path: Path) -> None:
    from src.system.files import write_json

    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path) -> None:
    from src.system.files import write_json

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"^cannot write .*pipe \(a pipe or a device\)"):
        write_json(tmp_path / "pipe", {})
    assert (tmp_path / "pipe").is_fifo()


def test_another_config_or_other_data_is_named(run: RunFolder, compose: Any) -> None:
    config = compose("model=mlp_gan", "data=digits", "data.batch_size=64")
    run.write_config(config)
    run.update_manifest(data={"x": "aa"})
    assert run.changes(config, {"x": "aa"}) == []
    smaller = compose("model=mlp_gan", "data=digits", "data.batch_size=32")
    assert run.changes(smaller, {"x": "aa"}) == ["data.batch_size: 64 -> 32"]
    assert run.changes(config, {"x": "bb"}) == ["data file x has other bytes"]
    same = ("logger=none", "data.workers=1", "on_change=accept")
    elsewhere = compose("model=mlp_gan", "data=digits", "data.batch_size=64", *same)
    assert run.changes(elsewhere, {"x": "aa"}) == []


def test_an_early_config_without_a_digest_gets_it_from_the_manifest(run: RunFolder, compose: Any) -> None:
    here, there = (compose("model=mlp_gan", "data=folder", f"data.path={path}") for path in ("here", "there"))
    run.write_config(here)
    run.begin_manifest(data={"images.npy": "0" * 64})
    assert run.config()["data"]["digest"] == data_digest({"images.npy": "0" * 64})
    assert run.changes(there, {"images.npy": "0" * 64}) == []


def test_what_killed_processes_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / ".step-000000001.ckpt.1.tmp").touch()
    with RunFolder(tmp_path):
        assert list((tmp_path / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("left", ["config.yaml", "manifest.json", "checkpoints/step-000000020.ckpt"])
def test_what_is_left_of_a_run_is_set_aside(left: str, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with run:
        (run.path / left).write_text("{}")
    run.set_aside()
    assert not run.path.exists()
    assert (tmp_path / "run.kept1" / left).is_file()


def test_what_a_repository_keeps_of_a_run(tiny_run: Path, tmp_path: Path) -> None:
    published, flagship = tmp_path / "published", tmp_path / "flagship"
    publish(RunFolder(tiny_run), published)
    names = ["config.yaml", "manifest.json", "metrics.json", "metrics.jsonl", "samples.png"]
    assert sorted(path.name for path in published.iterdir()) == names
    assert (published / "samples.png").read_bytes() == (tiny_run / "samples" / "step-000000020.png").read_bytes()
    with pytest.raises(UserError, match="is published without checkpoints"):
        load_run(published)

    publish(RunFolder(tiny_run), flagship, flagship=True)
    assert sorted(path.name for path in flagship.iterdir()) == sorted([*names, "film.gif", "weights.safetensors"])
    assert torch.equal(load_run(flagship).sample([1, 2]), load_run(tiny_run).sample([1, 2]))
    with pytest.raises(UserError, match="is published without checkpoints"):
        load_run(flagship, "last")
    publish(RunFolder(tiny_run), flagship)  # in its place
    assert sorted(path.name for path in flagship.iterdir()) == names
