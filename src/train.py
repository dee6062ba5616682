"""python -m src.train model=mlp_gan [key=value ...]: config, data, model, fit, evaluate, one after the other.

Every rank of a run calls `train`; rank 0 prints and writes. torch is imported lazily: config errors must not wait for it.
"""

import contextlib
import json
import traceback
from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.errors import Diverged, UserError
from src.config.experiment import Experiment
from src.config.home import described
from src.config.identity import identity
from src.data.dataset import check_dataset
from src.evaluation.suite import check_suite
from src.parallel import launch
from src.parallel.launch import from_first, is_first
from src.parallel.place import Place, check_device, place
from src.runs import resume
from src.runs.folder import RunFolder
from src.runs.manifest import MANIFEST_DEFAULTS, software, software_changes
from src.runs.publish import publish
from src.runs.summary import summary
from src.system.files import NO_ROOM, check_writable


def train(config: dict[str, Any]) -> dict[str, Any]:
    """Train and evaluate what a plain, checked config describes; resume or reuse an earlier run of it.

    Returns the content of metrics.json, {} if there is none (no evaluation, a diverged run, or not rank 0).
    """
    experiment = Experiment(config)
    where = place(experiment.trainer, experiment.batch_size, asked=config["devices"])
    check_device(config["evaluation"].get("device"))
    if config["model"].get("loss", True) in (None, {}):
        raise UserError(f"{experiment.name} needs an adversarial loss: loss=non_saturating or another of conf/loss")
    if where.processes > 1 and not launch.launched():
        launch.launch(train, config, where.processes)
        return RunFolder(experiment.path).result() or {}
    if not launch.launched():
        return train_rank(experiment, where)
    launch.join()
    result = train_rank(experiment, where)
    launch.leave()
    return result


def train_rank(experiment: Experiment, where: Place) -> dict[str, Any]:
    """The work of every rank: prepare data and folder, train, evaluate; rank 0 publishes and prints. Returns as `train`."""
    config, dataset = experiment.config, experiment.dataset
    if is_first():
        print(described(config["paths"]), flush=True)
    check_suite(experiment.suite, dataset.spec)
    from_first(dataset.prepare)
    dataset.prepare()
    check_dataset(dataset)
    experiment.identify()
    run = RunFolder(experiment.path)
    if experiment.batch_size > (samples := len(dataset.split("train"))):
        raise UserError(f"data.batch_size={experiment.batch_size} is more than the {samples} training samples: make it smaller")
    check_writable(experiment.cache, "paths.cache")
    hashes = dataset.hashes()
    check_ranks(config, hashes)
    from_first(lambda: resume.prepare_folder(run, experiment, where, hashes))
    if run.started():
        experiment.restore(run.learned())
    with run if is_first() else contextlib.nullcontext():
        if is_first():
            (run.path / "error.txt").unlink(missing_ok=True)  # of an earlier attempt
        try:
            if not from_first(lambda: run.complete(config)):
                experiment.check_parts()
            make(experiment, run, where, hashes)
        except Diverged as error:
            if config["on_divergence"] == "fail":
                raise
            if is_first():
                print(f"recorded as a failure: {error}")
        except UserError:
            raise
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise UserError(
                f"no room left to write {run.path} ({error.strerror}): make some and repeat the command, it goes on from "
                "the last checkpoint"
            ) from error
        except Exception:
            if is_first():
                (run.path / "error.txt").write_text(traceback.format_exc())
            raise
        if not is_first():
            return {}
        if config["publish"]:
            publish(run, Path(config["publish"]), config["flagship"])
        return show(run)


def check_ranks(config: dict[str, Any], hashes: dict[str, str]) -> None:
    """Raise UserError in all ranks if their config, code or data differ."""
    if launch.launched():
        made = software(config)
        parts = {"config": identity(config), "code": [made["sources"], made["lock"]], "data": hashes}
        for what, part in parts.items():
            launch.same_everywhere(json.dumps(part, sort_keys=True), what)


def make(experiment: Experiment, run: RunFolder, where: Place, hashes: dict[str, str]) -> None:
    """Do the missing parts of a run: training, evaluation. Raises Diverged if the run has diverged, now or earlier."""
    ended = from_first(lambda: run.manifest().get("ended"))
    if ended is None:
        fit(experiment, run, where, hashes)
    elif ended["reason"] == "diverged":
        raise Diverged(f"this run has ended before: {ended['message']}; fresh=true makes it again")
    elif experiment.trainer.profile:
        raise UserError(f"{run.path} has ended, there is nothing to profile: add fresh=true, or take another seed")
    if experiment.config["evaluate"] and from_first(run.result) is None:
        evaluate(experiment, run, where)
    elif ended and is_first():
        changes = software_changes(run.manifest(), software(experiment.config))
        print("this result was there already; fresh=true makes it again" + "".join(f"\n  made with other {c}" for c in changes))


def fit(experiment: Experiment, run: RunFolder, where: Place, hashes: dict[str, str]) -> None:
    """Train from the newest intact checkpoint, or from step 0, until the stop rule applies."""
    now = resume.machine_now(experiment, where)

    from pytorch_lightning.loggers.logger import DummyLogger

    from src.training.fit import fit
    from src.training.loggers import make_loggers

    spec = experiment.dataset.spec
    model, modality = experiment.model(spec), experiment.modality(spec)
    try:
        model.check_parts()
    except ValueError as error:
        raise UserError(f"model: {error}") from error
    callbacks, factories = experiment.callbacks(), experiment.loggers()
    if hasattr(experiment.suite, "check_model"):
        experiment.suite.check_model(model)
    checkpoint = from_first(lambda: run.newest("step"))

    def write_beginning() -> Path | None:
        if checkpoint:
            resume.continue_run(run, experiment, hashes, now, checkpoint, model)
        run.drop_results()
        if checkpoint:
            return checkpoint
        resume.begin(run, experiment, spec, hashes, now, model)
        source = experiment.config["extend"]
        return resume.extend(run, RunFolder.existing(source), experiment, hashes, model) if source else None

    checkpoint = from_first(write_beginning)
    if is_first():
        print(f"run folder: {run.path}", flush=True)
    loggers: list[Any] = [DummyLogger() for _ in factories]
    if is_first():
        loggers = make_loggers(factories, experiment.config, run.path, Path(experiment.config["paths"]["runs"]))
    fit(
        run,
        model,
        experiment.dataset,
        experiment.suite,
        modality,
        stop=experiment.stop,
        place=where,
        checkpoint=checkpoint,
        loggers=loggers,
        callbacks=callbacks,
        evaluate=experiment.config["evaluate"],
        **experiment.fit_settings,
    )


def evaluate(experiment: Experiment, run: RunFolder, where: Place) -> None:
    """Measure the chosen checkpoint with the number of threads and the matmul precision of its training."""
    from src.evaluation.final import evaluate_run
    from src.system.numerics import set_up

    if is_first():
        print("evaluating")
    made = MANIFEST_DEFAULTS | from_first(run.manifest)
    set_up(made["threads"], made["matmul_precision"], where.devices)
    evaluate_run(run, experiment, run.path / "metrics.json")


def show(run: RunFolder) -> dict[str, Any]:
    """Print the run's cost, its metrics and the paths of its files. Returns as `train`."""
    result, ended = run.result(), run.manifest()["ended"]
    if ended["reason"] == "diverged":
        return {}
    print(
        f"\n{run.path}: {ended['step']:,} steps, {ended['samples_seen']:,} samples, "
        f"{ended['seconds']:.0f} s, ended by {ended['reason']}"
    )
    if result:
        print(summary(result))
        print(f"  numbers  {run.path / 'metrics.json'} (docs/evaluation.md explains them)")
    if any(run.samples.glob("step-*")):
        print(f"  samples  {run.samples}\n  more     python -m src.generate run={run.path}", flush=True)
    return result or {}


def main() -> None:
    """The console command aigc-train."""
    command_line.run("train", train)


if __name__ == "__main__":
    main()
