"""python -m src.verify run=PATH [--quick | start=STEP steps=N]: is this result still exactly what its recipe makes?

Exit code 0: it is, as far as the promise goes here. 1: it is not. 2: it could not be checked.
"""

import copy
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.checks import with_data_in
from src.config.errors import UserError
from src.data.dataset import Dataset
from src.evaluation.intervals import prediction_interval
from src.parallel.place import Place, place
from src.parallel.processes import Team
from src.reporting.runs import find_runs
from src.runs.checkpoints import digest_path, is_whole, load_checkpoint
from src.runs.folder import RunFolder, build_dataset, load_run
from src.runs.manifest import EARLIER, data_changes, machine, machine_changes, software, software_changes
from src.system.files import sha256
from src.system.numerics import moved
from src.training.fit import fit

STATE = ("state_dict", "optimizer_states", "clock")  # of a checkpoint; the rest is the time it took


def verify(config: dict[str, Any]) -> None:
    """Check what a config names and print the verdict; exits with 1 where the result does not hold."""
    run = RunFolder.existing(config["run"])
    recipe, manifest = with_data_in(config["paths"]["data"], run.config()), run.manifest()
    if manifest.get("ended", {"reason": "diverged"})["reason"] == "diverged":
        raise UserError(f"{run.path} has come to no result that could be verified: finish its training first")
    dataset = build_dataset(recipe)
    dataset.prepare()
    if changes := data_changes(manifest["data"], dataset.hashes()):
        raise UserError(f"the data is not what the run was made with ({'; '.join(changes)}): get that version of it")
    start, end = segment(config, run)

    wrong = check_files(run) if config["quick"] else check_again(config, run, recipe, dataset, start, end)
    if wrong:
        print(f"NOT verified: {run.path}\n" + "\n".join(f"  {line}" for line in wrong))
        sys.exit(1)
    print(f"verified: {run.path}")


def segment(config: dict[str, Any], run: RunFolder) -> tuple[int, int]:
    """The steps to make again: after `start`, up to and with the second."""
    start, last = config["start"], run.manifest()["ended"]["step"]
    if start and not checkpoint_at(run, start):
        steps = {int(path.stem.partition("-")[2]) for path in run.checkpoints.glob("*.ckpt") if is_whole(path)}
        known = ", ".join(map(str, sorted({0, *steps} - {last})))
        raise UserError(f"start={start}: there is no whole checkpoint of that step; known: {known}")
    source = checkpoint_at(run, start)
    if source and "optimizer_states" not in load_checkpoint(source):
        raise UserError(f"start={start}: a published checkpoint has no optimizers' states to go on with, verify it whole")
    if start >= last:
        raise UserError(f"start={start} is the last step of this run: choose an earlier one, there is nothing to make again")
    return start, min(last, start + config["steps"]) if config["steps"] else last


def checkpoint_at(run: RunFolder, step: int) -> Path | None:
    paths = (run.checkpoint_path(kind, step) for kind in ("step", "best"))
    return next((path for path in paths if is_whole(path)), None)


# Hashes


def check_files(run: RunFolder) -> list[str]:
    """What is wrong with the files of a run, by their hashes; says what was compared."""
    from src.evaluation.extractors.extractor import load_extractor
    from src.runs.export import state_hash

    manifest, recipe, result = run.manifest(), run.config(), run.result()
    extractor = load_extractor(recipe["evaluation"]["extractor"], recipe["evaluation"]["weights"])
    wrong = []
    if extractor.weights_sha256 != manifest["extractor"]["weights_sha256"]:
        wrong.append(f"the weights of extractor {extractor.name} are not those the run was made with")

    checkpoints = sorted(run.checkpoints.glob("*.ckpt"))
    wrong += [f"{path} is damaged" for path in checkpoints if not is_whole(path)]
    last = checkpoint_at(run, manifest["ended"]["step"])
    if last and state_hash(load_checkpoint(last)["state_dict"]) != manifest["final_weights"]:
        wrong.append("the last checkpoint does not hold the final weights that the manifest names")
    if checkpoints and not wrong:
        generator = load_run(run.path).sampler().state_dict()
        if result and state_hash(generator) != result["protocol"]["generator_sha256"]:
            wrong.append("metrics.json was measured on another generator than the chosen checkpoint's")

    pictures = {name: run.samples / name for name in manifest["samples"]}
    if not any(run.samples.glob("step-*.png")):  # a published folder keeps the last one
        pictures = {max(pictures): run.path / "samples.png"}
    for name, path in pictures.items():
        if not path.is_file() or sha256(path) != manifest["samples"][name]:
            wrong.append(f"{path} is not the picture that the run drew")
    print(f"compared by hash: data, extractor, {len(checkpoints)} checkpoints, {len(pictures)} pictures")
    return wrong


# Making it again


def check_again(
    config: dict[str, Any], run: RunFolder, recipe: dict[str, Any], dataset: Dataset, start: int, end: int
) -> list[str]:
    """Make steps start + 1 .. end again elsewhere and compare; what is wrong, after the tier of the promise that applies."""
    from src.evaluation.scoring import score

    cache = Path(config["paths"]["cache"])
    manifest, whole = run.manifest(), end == run.manifest()["ended"]["step"]
    code = software(recipe, dataset.spec.kind)
    if manifest.get("nodes", 1) > 1:  # as many processes, all of them here
        recipe = {**recipe, "trainer": {**recipe["trainer"], "devices": manifest["processes"]}}
    where = place(recipe)
    before, now = manifest.get("processes", 1), where.processes
    if before != now and "per process" in (manifest.get("batch_norm"), where.record()["batch_norm"]):
        raise UserError(
            f"batch norm was over each process's part of the batch: what {before} made, {now} cannot; verify it where there "
            f"are {before}"
        )
    again = RunFolder(cache / "verify" / f"{manifest['config_hash']}-{recipe['seed']}-{start}-{end}")
    if again.started() and (
        software_changes(again.manifest(), code) or moved(again.manifest(), again.config(), where)
    ):  # an interrupted verification of other code, or elsewhere
        shutil.rmtree(again.path)
    with again:
        recipe = recipe_of(run, recipe, again, start, code, where)
        if not again.finished():
            with Team(where) as team:
                fit(recipe, again, dataset, end, "verification", team)
        different, compared = differences(run, again, start, end, whole)
        measured = None
        if whole and start == 0 and run.result():
            measured = score(again, dataset, recipe["evaluation"], cache, again.path / "metrics.json")
            compared.append("metrics")
            if measured["metrics"] != (run.result() or {})["metrics"]:
                different.append("metrics.json has other numbers")

    if not different:
        shutil.rmtree(again.path)
        print(f"bitwise equal over steps {start + 1:,} to {end:,}: {', '.join(compared)}")
        return []
    machine_now = machine((EARLIER | manifest)["channels_last"]) | where.record()
    reasons = software_changes(manifest, code) + machine_changes(manifest, machine_now)
    reasons += [change for part in manifest.get("continued", []) for change in part["changes"]]
    if not reasons:
        return [*different, f"code, lock file and machine are those of the run: this must not be ({again.path} is kept)"]
    print(f"not bitwise equal ({'; '.join(different)}), and not promised here: other {'; other '.join(reasons)}")
    return check_metric(run, measured, Path(config["published"]))


def recipe_of(
    run: RunFolder, recipe: dict[str, Any], again: RunFolder, start: int, code: dict[str, Any], where: Place
) -> dict[str, Any]:
    """A run's recipe, to be made again in another folder from a checkpoint on, with threads and precision as it was."""
    from src.system.numerics import set_numerics

    recipe = copy.deepcopy(recipe)
    recipe["run_dir"], recipe["publish"], recipe["logger"]["mode"] = str(again.path), None, "disabled"
    recipe["trainer"] |= {name: (EARLIER | run.manifest())[name] for name in ("threads", *EARLIER)}
    recipe["trainer"]["profile"] = None
    set_numerics(recipe["trainer"]["threads"], recipe["trainer"]["matmul_precision"])
    recipe["stop"] |= {"minutes": None, "distance": None}  # the number of steps that they led to is known by now
    if start and not again.started():
        source = checkpoint_at(run, start)
        assert source is not None
        target = again.checkpoint_path("step", start)
        for old, new in ((digest_path(source), digest_path(target)), (source, target)):
            shutil.copyfile(old, new)
        again.write_config(recipe)
        here = machine(recipe["trainer"]["channels_last"]) | where.record()
        again.update_manifest(**code, **here, data=run.manifest()["data"])
    return recipe


def differences(run: RunFolder, again: RunFolder, start: int, end: int, whole: bool) -> tuple[list[str], list[str]]:
    """What is not bitwise the same in two runs' steps start + 1 .. end; and what was compared."""
    from src.runs.export import state_hash

    different, compared = [], []
    made = {json.dumps(line) for line in again.scalars()}
    lines = [line for line in run.scalars() if start < line["step"] <= end]
    compared.append(f"{len(lines)} lines of scalars")
    if other := [line["step"] for line in lines if json.dumps(line) not in made]:
        different.append(f"scalars from step {other[0]:,} on")

    last = checkpoint_at(again, end)
    assert last is not None
    state = load_checkpoint(last)
    if original := checkpoint_at(run, end):
        theirs = load_checkpoint(original)
        compared.append("weights, averages and optimizers")
        if not all(same(state[part], theirs[part]) for part in STATE if part in theirs):  # published ones have fewer
            different.append(f"the checkpoint of step {end:,}")
    if whole:
        compared.append("final weights")
        if state_hash(state["state_dict"]) != run.manifest()["final_weights"]:
            different.append("final weights")
    if not original and not whole and not lines:
        raise UserError(f"nothing of steps {start + 1} to {end} was kept to compare with: take more steps=")
    return different, compared


def same(a: Any, b: Any) -> bool:
    """Bitwise, through dicts and lists."""
    import torch

    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def check_metric(run: RunFolder, measured: dict[str, Any] | None, published: Path) -> list[str]:
    """Whether a re-made metric falls where one further seed of the published runs would, 95 times out of 100."""
    result = run.result()
    if measured is None or result is None:
        raise UserError("this leaves open whether the result holds: verify it whole (no start=, no steps=) to see its metric")
    name = next(key for key in result["metrics"] if key == "fid" or key.startswith("fd_"))
    recipe = run.manifest()["config_hash"]
    runs = find_runs(str(published)) if published.is_dir() else []
    values = [other.metrics[name] for other in runs if other.recipe == recipe and other.finished]
    interval = prediction_interval(values)
    value = measured["metrics"][name]
    print(f"{name}: {value:.4f} made again, {result['metrics'][name]:.4f} before")
    if interval is None:
        raise UserError(f"{published} holds fewer than two seeds of this recipe: there is no interval to compare {name} with")
    low, high = interval
    where = f"the 95 % interval for one further seed, {low:.4f} to {high:.4f} ({len(values)} published seeds)"
    if low <= value <= high:
        print(f"it falls in {where}")
        return []
    return [f"{name} {value:.4f} is outside {where}"]


if __name__ == "__main__":
    sys.argv = ["quick=true" if word == "--quick" else word for word in sys.argv]
    command_line.run("verify", verify, nullable=("steps", "paths.data"))
