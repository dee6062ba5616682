"""python -m src.verify run=PATH [--quick | start=STEP steps=N]: does the recipe still reproduce this result?

Exit code 0: yes, as exactly as docs/reproducing.md promises for this machine. 1: no. 2: it could not be checked. 3: nothing
differs, but --quick found no weights to compare.
"""

import contextlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

from src.config import command_line
from src.config.errors import UserError
from src.config.experiment import Experiment, StopRule
from src.config.identity import short_hash
from src.evaluation.intervals import prediction_interval
from src.parallel import launch
from src.parallel.place import place
from src.reporting.runs import find_runs
from src.runs import resume
from src.runs.checkpoints import digest_path, is_intact, load_checkpoint
from src.runs.folder import RunFolder
from src.runs.manifest import MANIFEST_DEFAULTS, data_changes, machine_changes, software, software_changes
from src.system.files import sha256

NO_WEIGHTS = 3  # exit code
STATE = ("state_dict", "optimizer_states", "clock")  # parts of a checkpoint to compare; the rest contains times


def verify(config: dict[str, Any]) -> None:
    """Check the config's run and print the verdict; exit with code 1 if the result is not reproduced."""
    run = RunFolder.existing(config["run"])
    experiment, manifest = run.experiment(config["paths"]["data"], config["data"]["path"]), run.manifest()
    if manifest.get("ended", {"reason": "diverged"})["reason"] == "diverged":
        raise UserError(f"{run.path} has no result that could be verified: finish its training first")
    experiment.dataset.prepare()
    if changes := data_changes(manifest["data"], experiment.dataset.hashes()):
        raise UserError(f"the data is not what the run was made with ({'; '.join(changes)}): get that version of it")
    start, end = segment(config, run)

    if config["quick"]:
        wrong, absent = check_files(run)
    else:
        wrong, absent = check_by_recomputing(config, run, experiment, start, end), []
    if wrong:
        print(f"NOT verified: {run.path}\n" + "\n".join(f"  {line}" for line in wrong))
        sys.exit(1)
    if absent:
        print(f"nothing differs, but the weights could not be compared: {run.path} has no {' and no '.join(absent)}")
        sys.exit(NO_WEIGHTS)
    print(f"verified: {run.path}")


def segment(config: dict[str, Any], run: RunFolder) -> tuple[int, int]:
    """(start, end): steps start + 1 .. end are recomputed. UserError if there is no usable checkpoint of step `start`."""
    start, last = config["start"], run.manifest()["ended"]["step"]
    extends = run.manifest().get("extends")
    if extends and start < extends["step"]:
        raise UserError(f"{run.path} extends {extends['run']}: verify that one, and this one with start={extends['step']}")
    if start and not checkpoint_at(run, start):
        steps = {int(path.stem.partition("-")[2]) for path in run.own() if is_intact(path)}
        known = ", ".join(map(str, sorted({0, *steps} - {last})))
        raise UserError(f"start={start}: there is no intact checkpoint of that step; known: {known}")
    if start >= last:
        raise UserError(f"start={start} is the last step of this run, nothing follows it: choose an earlier one")
    return start, min(last, start + config["steps"]) if config["steps"] else last


def checkpoint_at(run: RunFolder, step: int) -> Path | None:
    paths = (run.checkpoint_path(kind, step) for kind in ("step", "best"))
    return next((path for path in paths if is_intact(path)), None)


# Hashes


def check_files(run: RunFolder) -> tuple[list[str], list[str]]:
    """Compare the files of a run with their hashes, and print what was compared.

    Returns (what does not match, what is absent if no weights could be compared).
    """
    from src.runs.export import load_safetensors, state_hash
    from src.runs.load import load_run

    manifest, result = run.manifest(), run.result()
    checkpoints = run.own()
    wrong = [f"{path} is damaged" for path in checkpoints if not is_intact(path)]
    last = checkpoint_at(run, manifest["ended"]["step"])
    if last and state_hash(load_checkpoint(last)["state_dict"]) != manifest["final_weights"]:
        wrong.append("the last checkpoint does not hold the final weights that the manifest names")
    if checkpoints and not wrong:
        network = load_run(run.path).network().state_dict()
        if result and state_hash(network) != result["protocol"]["network_sha256"]:
            wrong.append("metrics.json was measured on another network than the chosen checkpoint's")

    networks = [path for path in [run.path / "weights.safetensors"] if result and run.is_published() and path.is_file()]
    for path in networks:
        if result and state_hash(load_safetensors(path)[0]) != result["protocol"]["network_sha256"]:
            wrong.append(f"{path} is not the network that metrics.json was measured on")

    previews = {name: run.samples / name for name in manifest["samples"]}
    if previews and not any(run.samples.glob("step-*")):  # a published folder has only the last one
        last_one = max(previews)
        previews = {last_one: run.path / f"samples{Path(last_one).suffix}"}
    for name, path in previews.items():
        if not path.is_file() or sha256(path) != manifest["samples"][name]:
            wrong.append(f"{path} is not what the run drew")
    print(f"compared by hash: data, {len(checkpoints)} checkpoints, {len(networks)} networks, {len(previews)} samples")
    if last or networks or (checkpoints and result):
        return wrong, []
    return wrong, ["last checkpoint" if checkpoints else "checkpoints", "weights.safetensors" if result else "metrics.json"]


# Recomputation


def check_by_recomputing(config: dict[str, Any], run: RunFolder, experiment: Experiment, start: int, end: int) -> list[str]:
    """Recompute steps start + 1 .. end in another folder and compare. Returns what is wrong, as lines of text.

    With the run's own code, lock file and machine, all bits must be equal; with others, the metric must lie in the interval
    of one further seed.
    """
    cache = Path(config["paths"]["cache"])
    manifest, whole = run.manifest(), end == run.manifest()["ended"]["step"]
    trainer = experiment.config["trainer"] | {
        name: (MANIFEST_DEFAULTS | manifest)[name] for name in ("threads", *MANIFEST_DEFAULTS)
    }
    trainer |= {"devices": manifest.get("processes", 1), "profile": None}  # all processes on this machine
    folder = cache / "verify" / f"{manifest['config_hash']}-{experiment.seed}-{start}-{end}"
    again, found = RunFolder(folder), experiment.config
    changed = {"run_dir": str(folder), "publish": None, "logger": {}, "trainer": trainer}
    experiment = Experiment(found | changed, trusted=False)
    where = place(experiment.trainer, experiment.batch_size, asked="auto")
    code, machine = software(experiment.config), resume.machine_now(experiment, where)
    if again.started() and (software_changes(again.manifest(), code) or resume.machine_differences(again, machine)):
        shutil.rmtree(again.path)  # left by an interrupted verification, with other code or on another machine
    job = Recomputation(experiment.config, run.path, folder, start, end, measure=whole and start == 0 and bool(run.result()))
    if where.processes > 1:
        launch.launch(recompute, job, where.processes)
    else:
        recompute(job)
    different, compared = differences(run, again, start, end, whole)
    if measured := again.result():
        compared.append("metrics")
        if measured["metrics"] != (run.result() or {})["metrics"]:
            different.append("metrics.json has other numbers")

    if not different:
        shutil.rmtree(again.path)
        print(f"bitwise equal over steps {start + 1:,} to {end:,}: {', '.join(compared)}")
        return []
    reasons = software_changes(manifest, code) + machine_changes(manifest, machine)
    reasons += [change for part in manifest.get("continued", []) for change in part["changes"]]
    if not reasons:
        return [*different, f"code, lock file and machine are the run's: bits should be equal ({again.path} is kept)"]
    print(f"not bitwise equal ({'; '.join(different)}), and not promised here: other {'; other '.join(reasons)}")
    return check_metric(run, measured, Path(config["published"]))


class Recomputation(NamedTuple):
    """A job: train steps start + 1 .. end of a run in another folder, and evaluate if `measure`."""

    config: dict[str, Any]
    original: Path
    folder: Path
    start: int
    end: int
    measure: bool


def recompute(job: Recomputation) -> None:
    """Do the job; called in every rank."""
    experiment, again = Experiment(job.config, trusted=False), RunFolder(job.folder)
    where = place(experiment.trainer, experiment.batch_size, asked="auto")
    if launch.launched():
        launch.join()
    now, dataset = resume.machine_now(experiment, where), experiment.dataset

    from pytorch_lightning.loggers.logger import DummyLogger

    from src.evaluation.final import evaluate_run
    from src.training.fit import fit

    dataset.prepare()
    model, modality = experiment.model(dataset.spec), experiment.modality(dataset.spec)
    with again if launch.is_first() else contextlib.nullcontext():

        def begin() -> Path | None:
            if not again.started():
                resume.begin(again, experiment, dataset.spec, dataset.hashes(), now, model)
                if job.start:
                    copy_checkpoint(RunFolder(job.original), again, job.start)
            return again.newest("step")

        checkpoint = launch.from_first(begin)
        if not launch.from_first(again.finished):
            fit(
                again,
                model,
                dataset,
                experiment.suite,
                modality,
                stop=StopRule(samples=job.end * experiment.batch_size * model.batches_per_update),
                place=where,
                checkpoint=checkpoint,
                loggers=[DummyLogger()],  # some callbacks need one
                callbacks=experiment.callbacks(),
                **experiment.fit_settings,
            )
        if job.measure and launch.from_first(again.result) is None:
            evaluate_run(again, experiment, again.path / "metrics.json")


def copy_checkpoint(run: RunFolder, again: RunFolder, step: int) -> None:
    source, target = checkpoint_at(run, step), again.checkpoint_path("step", step)
    assert source is not None
    shutil.copyfile(digest_path(source), digest_path(target))
    shutil.copyfile(source, target)


def differences(run: RunFolder, again: RunFolder, start: int, end: int, whole: bool) -> tuple[list[str], list[str]]:
    """Compare steps start + 1 .. end of two runs bitwise. Returns (what differs, what was compared).

    whole: `end` is the run's last step. UserError if the run kept nothing of these steps.
    """
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
        if not all(same(state[part], theirs[part]) for part in STATE):
            different.append(f"the checkpoint of step {end:,}")
    if whole:
        compared.append("final weights")
        if state_hash(state["state_dict"]) != run.manifest()["final_weights"]:
            different.append("final weights")
    if not original and not whole and not lines:
        raise UserError(f"nothing of steps {start + 1} to {end} was kept to compare with: take more steps=")
    return different, compared


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal: tensors element by element, dicts and lists entry by entry."""
    import torch

    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def check_metric(run: RunFolder, measured: dict[str, Any] | None, published: Path) -> list[str]:
    """What is wrong with a recomputed metric: it must lie in the published seeds' 95 % interval for one further seed."""
    result = run.result()
    if measured is None or result is None:
        raise UserError("this does not show whether the metric holds: verify the whole run, without start= and steps=")
    name = result["main"]["name"]
    recipe = short_hash(run.config())
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
    command_line.run("verify", verify, nullable=("steps", "paths.data", "data.path"))
