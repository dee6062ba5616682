"""Several real processes make what one would have made, and end together. Their start is shared by many tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from src.fit import fit
from src.processes import Place, Team
from src.run import RunFolder, build_dataset, load_checkpoint

ROOT = Path(__file__).parent.parent
MODELS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))
TINY = [
    *("data=digits", "debug=tiny", "trainer.threads=1", "data.batch_size=16", "stop.images=100000", "evaluate=false"),
    *("checkpoint.every=1000", "logger.every=10", "validation={every: 100, samples: 32}", "samples={n: 4, per_decade: 1}"),
]
# Adam divides a gradient by its size: where that is nothing but rounding, so would be the weights.
CALM = [f"model.{which}_optimizer.lr=1e-4" for which in "gd"] + [f"+model.{which}_optimizer.eps=1e-2" for which in "gd"]
STEPS = 30
PARITY = {
    "r3gan": ["model=r3gan", *CALM],  # no normalisation, paired losses, both penalties
    "dcgan": ["model=dcgan", *CALM],  # batch norm, synchronised
    "everything": [
        *("model=mlp_gan", "loss=relativistic_average", *CALM),
        "model.generator={z_dim: 8, widths: [16], batch_norm: false}",
        "model.discriminator={widths: [16, 16], spectral_norm: true}",
        "model.d_steps=2",
        "model.ema.half_life=100",
        *(
            f"+model.penalties.{name}={{_target_: src.losses.regularizers.Penalty, weight: 0.1, every: 2}}"
            for name in ("wgan_gp", "dragan", "lecam")
        ),
        *(
            f"+model.penalties.{name}.function={{_target_: src.losses.regularizers.{name}, _partial_: true}}"
            for name in ("wgan_gp", "dragan")
        ),
        "+model.penalties.lecam.function={_target_: src.losses.regularizers.LeCam}",
        "~model.augment",
        "+model.augment={_target_: src.adaptive_augment.ADA, policy: [shift, contrast], target: -1, every: 2, kimg: 0.1}",
    ],
}


def make(config: dict[str, Any], team: Team, steps: int) -> dict[str, Any]:
    """The last checkpoint of a run of so many steps."""
    run = RunFolder(Path(config["run_dir"]))
    with run:
        fit(config, run, build_dataset(config), steps, "images", team)
    checkpoint = run.newest("step")
    assert checkpoint is not None
    return load_checkpoint(checkpoint)


def team_of(processes: int, **changes: Any) -> Team:
    return Team(Place(accelerator="cpu", devices=processes, strategy="ddp", **changes))


@pytest.fixture(scope="module")
def alike(compose: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """Checkpoints of the same runs by 1, 2 and 4 processes."""
    made: dict[int, dict[str, Any]] = {}
    for processes in (1, 2, 4):
        folder = tmp_path_factory.mktemp(f"of{processes}")
        with team_of(processes) as team:
            made[processes] = {
                name: make(compose(*words, *TINY, f"run_dir={folder / name}"), team, STEPS) for name, words in PARITY.items()
            }
    return made


@pytest.mark.parametrize("name", PARITY)
@pytest.mark.parametrize("processes", [2, 4])
def test_the_number_of_processes_does_not_change_the_result(processes: int, name: str, alike: Any) -> None:
    one, several = alike[1][name], alike[processes][name]
    assert several["clock"] == one["clock"]
    for key, tensor in one["state_dict"].items():
        torch.testing.assert_close(several["state_dict"][key], tensor, rtol=0, atol=1e-6, msg=key)


def test_the_runs_above_have_moved(alike: Any, compose: Any, tmp_path: Path) -> None:
    """Otherwise they would show less than they say."""
    state = alike[1]["everything"]["state_dict"]
    assert state["augment.p"] > 0.5
    assert state["penalties.lecam.function.means"].all()
    for name, words in PARITY.items():
        start = make(compose(*words, *TINY, f"run_dir={tmp_path / name}"), team_of(1), 1)["state_dict"]
        weights = [key for key in start if key.endswith("weight") and not key.startswith("ema")]
        moved = {key: (alike[1][name]["state_dict"][key] - start[key]).abs().max() for key in weights}
        assert min(moved.values()) > 2e-5
