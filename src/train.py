"""python -m src.train model=mlp_gan [key=value ...]: config, data, model, fit, evaluate, one after the other.

torch and all that needs it are imported when everything that can be checked without them has been.
"""

import sys
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.checks import check_extractor, short_hash
from src.config.errors import Diverged, Interrupted, UserError
from src.data.dataset import Dataset
from src.parallel.place import Place, place
from src.parallel.processes import Team, follow, follows, join
from src.runs.folder import RunFolder, build_dataset, default_path, summary
from src.runs.manifest import EARLIER, place_changes, software, software_changes
from src.system.files import NO_ROOM, check_writable
from src.system.numerics import moved, set_up
from src.training.fit import changed, fit, follow_evaluate, stop_step


def train(config: dict[str, Any]) -> dict[str, Any]:
    """Make the result that a plain, checked config names, or go on with it, or find it made; what metrics.json says."""
    recipe = f"{short_hash(config)}/{config['seed']}"
    if follows():
        met = follow(partial(join, recipe=recipe))
        if isinstance(met, Interrupted):
            raise met
        if met and config["on_divergence"] == "fail":
            time.sleep(1.5)  # torchrun ends all of a machine at once: the first one says what it was
            sys.exit(2)
        return {}
    where = place(config)
    run = RunFolder(default_path(config))
    dataset = build_dataset(config)
    check_extractor(config["evaluation"], dataset.spec.shape)
    dataset.prepare()
    stop, reason = stop_step(config, len(dataset.split("train").x))
    check_writable(Path(config["paths"]["cache"]), "paths.cache")
    if config["publish"]:
        run.check_publishable(Path(config["publish"]))
    if config["fresh"]:  # whatever state the earlier run is in
        run.set_aside()
    inputs = run.changes(config, dataset.hashes()) if run.started() else []
    code = software_changes(run.made_with(), software(config, dataset.spec.kind))
    if config["on_change"] == "restart" and (inputs or code or elsewhere(config, run, where)):
        run.set_aside()
    elif inputs and run.finished():
        raise UserError(changed(run, inputs + code, over=True))
    elif config["on_change"] == "refuse" and (inputs or (code and not run.complete(config))):
        raise UserError(changed(run, inputs + code))
    with run:
        (run.path / "error.txt").unlink(missing_ok=True)  # of an earlier sitting
        try:
            with Team(where, recipe) as team:
                make(config, run, dataset, stop, reason, team)
        except Diverged as error:
            if config["on_divergence"] == "fail":
                raise
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
            (run.path / "error.txt").write_text(traceback.format_exc())
            raise
        if config["publish"]:
            run.publish(Path(config["publish"]))
        return show(run)


def elsewhere(config: dict[str, Any], run: RunFolder, where: Place) -> list[str]:
    """What keeps a run from going on here; of a finished one, in what other way it was divided."""
    made = run.made_with()
    return place_changes(made, where.record()) if run.finished() else moved(made, config, where)


def make(config: dict[str, Any], run: RunFolder, dataset: Dataset, stop: int | None, reason: str, team: Team) -> None:
    """What is missing of a run: its training, its evaluation."""
    ended = run.manifest().get("ended")
    if ended is None:
        fit(config, run, dataset, stop, reason, team)
    elif ended["reason"] == "diverged":
        raise Diverged(f"this run has ended before: {ended['message']}; fresh=true makes it again")
    elif config["trainer"]["profile"]:
        raise UserError(f"{run.path} has ended, there is nothing to profile: add fresh=true, or take another seed")
    if run.result() is None and config["evaluate"]:
        evaluate(config, run, dataset, team)
    elif ended:
        changes = software_changes(run.manifest(), software(config, dataset.spec.kind))
        changes += place_changes(run.manifest(), team.place.record())
        print("this result was there already; fresh=true makes it again" + "".join(f"\n  made with other {c}" for c in changes))


def evaluate(config: dict[str, Any], run: RunFolder, dataset: Dataset, team: Team) -> None:
    from src.evaluation.scoring import score

    print("evaluating")
    made = EARLIER | run.manifest()
    as_made = {name: made[name] for name in ("threads", "matmul_precision")}  # others round differently
    config = {**config, "trainer": config["trainer"] | as_made}
    set_up(config, team.place)
    team.order(follow_evaluate, config, team.place, run.path)
    score(run, dataset, config["evaluation"], Path(config["paths"]["cache"]), run.path / "metrics.json")


def show(run: RunFolder) -> dict[str, Any]:
    """Print where pictures and numbers are, and the numbers that matter."""
    result, ended = run.result(), run.manifest()["ended"]
    if ended["reason"] == "diverged":
        return {}
    print(
        f"\n{run.path}: {ended['step']:,} steps, {ended['images_seen']:,} images, "
        f"{ended['seconds']:.0f} s, ended by {ended['reason']}"
    )
    if result:
        print(summary(result))
        print(f"  numbers  {run.path / 'metrics.json'}")
    print(f"  pictures {run.samples}", flush=True)
    return result or {}


if __name__ == "__main__":
    command_line.run("train", train)
