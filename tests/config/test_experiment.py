"""A config taken apart."""

from pathlib import Path
from typing import Any

import pytest

from src.config.errors import UserError
from src.config.experiment import INSTEAD, Experiment, StopRule, TrainerSettings


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (StopRule(samples=640), (20, "samples")),
        (StopRule(samples=671), (20, "samples")),  # an update that would go beyond is not made
        (StopRule(samples=1), (1, "samples")),
        (StopRule(epochs=2), (62, "epochs")),  # 2,000 samples
        (StopRule(epochs=0.5), (15, "epochs")),
        (StopRule(epochs=2, samples=640), (20, "samples")),
        (StopRule(epochs=0.5, samples=640, minutes=3), (15, "epochs")),
        (StopRule(minutes=3), (None, "")),
        (StopRule(target=0.0), (None, "")),
    ],
)
def test_the_budget_that_is_used_up_first(stop: StopRule, expected: tuple[int | None, str]) -> None:
    assert stop.last_step(train_samples=1000, samples_per_update=32) == expected


def test_a_run_must_end() -> None:
    with pytest.raises(UserError, match=r"never end: set stop.epochs, stop.samples, stop.minutes or stop.target$"):
        StopRule()


@pytest.mark.parametrize("name", INSTEAD)
def test_arguments_of_the_trainer_that_have_a_setting_of_their_own_here(name: str, compose: Any) -> None:
    with pytest.raises(UserError, match=rf"^trainer\.{name}: .*{INSTEAD[name]}$"):
        TrainerSettings.read(compose("model=mlp_gan")["trainer"] | {name: 1})


def test_further_arguments_of_the_trainer(compose: Any) -> None:
    settings = Experiment(compose("model=mlp_gan", "+trainer.detect_anomaly=true")).trainer
    assert settings.arguments == {"detect_anomaly": True}
    assert settings.precision == "32-true"


def test_the_folder_of_a_run(compose: Any) -> None:
    first, second = (Experiment(compose("model=mlp_gan", "data=digits", f"seed={seed}")).path for seed in (0, 1))
    assert first.parent == second.parent
    assert first.parent.name.startswith("mlp_gan-digits-")
    assert (first.parent.parent, first.name, second.name) == (Path("runs"), "0", "1")
    assert Experiment(compose("model=mlp_gan", "run_dir=here")).path == Path("here")


def test_the_folder_of_own_data_is_named_after_their_bytes(compose: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("some words " * 500)
    (tmp_path / "b.txt").write_text("other words " * 500)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c.txt").write_text("some words " * 500)
    words = ["model=autoregressive", "data.length=16"]
    names = ("a.txt", "./a.txt", f"{tmp_path}/a.txt", "elsewhere/c.txt", "b.txt")
    *same, other = (Experiment(compose(*words, f"data.path={name}")).path for name in names)
    assert len(set(same)) == 1
    assert other not in same


def test_objects_as_the_config_says(compose: Any) -> None:
    """The same seed gives the same initial weights, whatever was drawn before."""
    import torch

    from src.runs.export import state_hash

    experiment = Experiment(compose("model=mlp_gan", "data=digits", "seed=3"))
    assert experiment.dataset is experiment.dataset
    spec = experiment.dataset.spec
    hashes = set()
    for _ in range(2):
        hashes.add(state_hash(experiment.model(spec).state_dict()))
        torch.rand(1)
    assert len(hashes) == 1
    assert experiment.model(spec).seed == 3


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("model.lr_schedule=cosine", r"lr_schedule='cosine': must be settings with a _target_, such as those in conf/ or null"),
        ("model.penalties.r1=0.1", r"model.penalties={'r1': 0.1}: must be a mapping, each entry settings with a _target_"),
        ("model.augment=true", r"model.augment=True: must be settings with a _target_"),
        ("model.ema=0.999", r"model.ema=0.999: must be settings with a _target_"),
        ("model.generator=null", r"model.generator=null: must be settings with a _target_"),
        ("model.g_penalties=size", r"model.g_penalties='size': must be a mapping, each entry settings with a _target_"),
        ("model.lr_schedule.final=half", r"model.lr_schedule.final='half': must be a number"),
        ("data=gaussians", r"augmentations are for images and the data are points: take model\.augment=null"),
    ],
)
def test_what_a_model_cannot_take(word: str, message: str, compose: Any) -> None:
    experiment = Experiment(compose("model=mlp_gan", word))
    with pytest.raises(UserError, match=message):
        experiment.model(experiment.dataset.spec)


def test_a_config_from_elsewhere_builds_less(compose: Any) -> None:
    config = compose("model=mlp_gan", "+callbacks.mine._target_=pytorch_lightning.Callback")
    assert len(Experiment(config).callbacks()) == 1
    with pytest.raises(UserError, match=r"^callbacks\.mine\._target_='pytorch_lightning\.Callback' is not allowed"):
        Experiment(config, trusted=False).callbacks()
