"""The part of a run that a repository keeps: a published folder, see src.runs.folder."""

import tempfile
from pathlib import Path

from src.config.errors import UserError
from src.runs.folder import RunFolder
from src.runs.sounds import newest_sound
from src.system.files import check_writable, write_atomic

MEASURED = "pairs.png", "retrieval.png", "captions.png"  # pictures that suites write


def publish(run: RunFolder, folder: Path, flagship: bool = False) -> None:
    """Copy what a repository keeps of a run; files of an earlier run that this one lacks are removed.

    flagship: also film, sound, moving clips and chosen weights. The same run gives the same bytes, but for the
    manifest's durations.
    """
    preview, film = run.last_preview(), run.samples / "film.gif"
    files = {name: run.path / name for name in ("config.yaml", "manifest.json", "metrics.jsonl", "metrics.json")}
    files |= {name: run.path / name for name in run.manifest().get("learned", {})}
    files |= {f"samples{preview.suffix}": preview} if preview else {}
    measured = {name: run.samples / name for name in MEASURED}
    files |= {"film.gif": film, **measured, **newest_sound(run.path)} if flagship else {}
    folder.mkdir(parents=True, exist_ok=True)
    # A full disk leaves the earlier files.
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as part:
        for name, path in files.items():
            if path.is_file():
                write_atomic(Path(part) / name, path.read_bytes())
        if flagship and run.newest("step"):
            from src.runs.export import save_safetensors
            from src.runs.load import load_run

            metadata = {"run": run.path.parent.name, "checkpoint": run.checkpoint().name}
            save_safetensors(load_run(run.path).network(), Path(part) / "weights.safetensors", metadata)
        written = {path.name for path in Path(part).iterdir()}
        for name in sorted(written):
            (Path(part) / name).replace(folder / name)
    parts = "metrics.json", "film.gif", *MEASURED, "weights.safetensors", "samples.*", "sound.*", "moving.gif"
    for path in (path for part in parts for path in folder.glob(part)):
        if path.name not in written:
            path.unlink(missing_ok=True)


def check_publishable(run: RunFolder, folder: Path) -> None:
    """Raise UserError if a run is trained in this folder, or it cannot be written."""
    if folder.resolve() == run.path.resolve() or any(RunFolder(folder).checkpoints.glob("*.ckpt")):
        raise UserError(f"publish={folder} is where a run is trained: choose a folder of its own")
    check_writable(folder, "publish")
