"""python -m src.train model=mlp_gan [key=value ...]: config, data, model, fit, evaluate, one after the other.

torch and all that needs it are imported when everything that can be checked without them has been.
"""

import logging
import math
import traceback
import warnings
from pathlib import Path
from typing import Any

from src import cli
from src.data.dataset import Dataset
from src.errors import UserError
from src.files import write_atomic
from src.run import RunFolder, build_dataset, build_model, default_path, environment, summary


def train(config: dict[str, Any]) -> dict[str, Any]:
    """Make the result that a plain, checked config names, or go on with it, or find it made; what metrics.json says."""
    run = RunFolder(default_path(config))
    if config["fresh"]:
        run.set_aside()
    dataset = build_dataset(config)
    dataset.prepare()
    stop, reason = stop_step(config, len(dataset.split("train").x))
    with run:
        if run.started():
            run.check_same(config, dataset.hashes())
        else:
            run.write_config(config)
        try:
            if "ended" not in run.manifest():
                fit(config, run, dataset, stop, reason)
            if run.result() is None:
                evaluate(config, run, dataset)
            else:
                print("this result was there already; fresh=true makes it again")
        except UserError:
            raise
        except Exception:
            (run.path / "error.txt").write_text(traceback.format_exc())
            raise
        if config["publish"]:
            publish(run, Path(config["publish"]))
        return show(run)


def publish(run: RunFolder, folder: Path) -> None:
    """Copy what is shown of a run (in README, by DVC) to a folder that is kept with the code."""
    folder.mkdir(parents=True, exist_ok=True)
    last_grid = sorted(run.samples.glob("step-*.png"))[-1]
    copies = (run.path / "metrics.json", "metrics.json"), (last_grid, "samples.png"), (run.samples / "film.gif", "film.gif")
    for source, name in copies:
        write_atomic(folder / name, source.read_bytes())


def stop_step(config: dict[str, Any], train_samples: int) -> tuple[int | None, str]:
    """The generator step at which the budget of images or epochs is used up, and which of the two it is."""
    stop, batch = config["stop"], config["data"]["batch_size"]
    if config["model"].get("loss", True) in (None, {}):
        raise UserError(f"{config['name']} needs an adversarial loss: loss=non_saturating or another of conf/loss")
    if all(value is None for value in stop.values()):
        raise UserError("the run would never end: set stop.epochs, stop.images, stop.minutes or stop.distance")
    if batch > train_samples:
        raise UserError(f"data.batch_size={batch} is more than the {train_samples} training samples: make it smaller")
    if config["trainer"]["devices"] != 1:
        raise UserError(f"trainer.devices={config['trainer']['devices']}: only one process is supported so far, use 1")
    images = {"images": stop["images"], "epochs": stop["epochs"] and stop["epochs"] * train_samples}
    budgets = {reason: count for reason, count in images.items() if count is not None}
    if not budgets:
        return None, ""
    reason = min(budgets, key=lambda name: budgets[name])
    return max(1, math.floor(budgets[reason] / (batch * config["model"].get("d_steps", 1)))), reason


def fit(config: dict[str, Any], run: RunFolder, dataset: Dataset, stop: int | None, reason: str) -> None:
    """Train from the newest whole checkpoint, or from the start, until the first budget is used up."""
    import torch
    from pytorch_lightning import Trainer

    from src.callbacks.budget import Budget
    from src.callbacks.checkpoint import AtomicCheckpointIO, Checkpoint
    from src.callbacks.progress import Progress
    from src.callbacks.record import LogScalars, Record, start_wandb
    from src.callbacks.samples import DrawSamples
    from src.callbacks.signals import StopOnSignal
    from src.callbacks.validation import Validate
    from src.data.loader import DataModule
    from src.export import save_safetensors, state_hash
    from src.metrics.extractors import load_extractor
    from src.scoring import validation_measure

    # Lightning's advice is for users of its own loops; its errors still come through.
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module=name)
    if config["trainer"]["threads"]:
        torch.set_num_threads(config["trainer"]["threads"])
    # Deterministic algorithms are wanted, the costly filling of fresh memory that comes with them is not.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

    # Numbers below 1e-38 are zero: they take a CPU a hundred times as long as others, and mean nothing here.
    torch.set_flush_denormal(True)

    model = build_model(config, dataset.spec)
    checkpoint = run.newest("step")
    step = int(checkpoint.stem.removeprefix("step-")) if checkpoint else 0
    if checkpoint is None:
        run.update_manifest(
            **environment(),
            data=dataset.hashes(),
            initial_weights=state_hash(model.state_dict()),
            config_hash=run.path.parent.name,
        )
    else:
        print(f"going on from step {step:,}")

    extractor = load_extractor(config["evaluation"]["extractor"], config["evaluation"]["weights"])
    validation = config["validation"]
    measure = validation_measure(
        dataset, extractor, validation["samples"], config["evaluation"]["seed"], Path(config["paths"]["cache"])
    )
    record = Record(run.path, step, start_wandb(run.path, config))
    signals = StopOnSignal()
    validate = Validate(run, record, signals, extractor.key("fd"), measure, validation["every"])
    budget = Budget(config["stop"]["minutes"], config["stop"]["distance"], validate, reason)
    callbacks = [
        signals,
        LogScalars(record, config["logger"]["every"]),
        DrawSamples(run.samples, record, signals, dataset.spec.kind, **config["samples"]),
        validate,
        budget,
        Progress(validate, budget, stop),
        Checkpoint(run, config["checkpoint"]["every"], config["checkpoint"]["keep"]),
    ]
    data = DataModule(
        dataset,
        batch_size=config["data"]["batch_size"],
        workers=config["data"]["workers"],
        seed=config["seed"],
        d_steps=config["model"].get("d_steps", 1),
        stop=stop,
        block=config["trainer"]["block"],
        cut=lambda step: any(callback.due(step) for callback in callbacks if hasattr(callback, "due")),
    )
    trainer = Trainer(
        accelerator=config["trainer"]["accelerator"],
        devices=config["trainer"]["devices"],
        strategy=config["trainer"]["strategy"],
        precision=config["trainer"]["precision"],
        max_epochs=1,  # the loader's one epoch is the whole run; the data's epochs are its own business
        deterministic=True,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=run.path,
    )
    finished = False
    try:
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint)
        finished = signals.number is None
    finally:
        record.close(exit_code=0 if finished else 1)
    if signals.number is not None:
        print(f"stopped at step {model.step:,}; the same command goes on from there")
        raise cli.Interrupted(signals.number)

    save_safetensors(model.sampler(), run.path / "generator.safetensors", {"run": run.path.parent.name})
    run.update_manifest(
        extractor={"name": extractor.name, "weights_sha256": extractor.weights_sha256},
        final_weights=state_hash(model.state_dict()),
        ended={
            "reason": budget.reason,
            "step": model.step,
            "images_seen": model.images_seen,
            "seconds": round(budget.seconds, 3),
            "best_step": validate.best_step,
            "best_distance": validate.best,
        },
    )


def evaluate(config: dict[str, Any], run: RunFolder, dataset: Dataset) -> None:
    from src.scoring import score

    print("evaluating")
    score(run, dataset, config["evaluation"], Path(config["paths"]["cache"]), run.path / "metrics.json")


def show(run: RunFolder) -> dict[str, Any]:
    """Print where pictures and numbers are, and the numbers that matter."""
    result, ended = run.result() or {}, run.manifest()["ended"]
    print(
        f"\n{run.path}: {ended['step']:,} steps, {ended['images_seen']:,} images, "
        f"{ended['seconds']:.0f} s, ended by {ended['reason']}"
    )
    print(summary(result))
    print(f"  pictures {run.samples}\n  numbers  {run.path / 'metrics.json'}", flush=True)
    return result


if __name__ == "__main__":
    cli.run("train", train)
