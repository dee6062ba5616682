from typing import Any

import pytest

from src.config.checks import check_extractor, differences, short_hash, validate, with_data_in
from src.config.errors import UserError, nearest

GOOD: dict[str, Any] = {
    "seed": 0,
    "data": {"batch_size": 64, "workers": 2},
    "model": {
        "_target_": "src.models.gan.gan.GAN",
        "generator": {"z_dim": 100, "widths": [256, 128]},
        "g_optimizer": {"lr": 1e-4},
    },
    "trainer": {"devices": 1, "precision": "32-true", "threads": None},
    "logger": {"mode": "offline"},
    "stop": {"images": None},
}


def changed(key: str, value: Any) -> dict[str, Any]:
    import copy

    config = copy.deepcopy(GOOD)
    *parents, leaf = key.split(".")
    node = config
    for parent in parents:
        node = node.setdefault(parent, {})
    node[leaf] = value
    return config


def test_a_good_config_passes() -> None:
    validate(GOOD)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", []),
        ("seed", [0, 1]),
        ("data.batch_size", [32, 32]),
        ("stop.images", []),
        ("model.generator.widths", 256),
        ("model.generator.widths", []),
        ("model.g_optimizer.betas", 0.9),
        ("model.g_optimizer.betas", [0.9]),
        ("model.g_optimizer.betas", [0.9, 1]),
        ("fresh", "maybe"),
        ("evaluate", "nein"),
        ("quick", None),
        ("films", 1),
        ("trainer.channels_last", "no"),
        ("model.generator.batch_norm", "no"),
        ("name", None),
        ("name", ""),
        ("name", 3),
        ("name", "../../x"),
        ("name", ".."),
        ("data.name", None),
        ("paths.data", None),
        ("paths.runs", None),
        ("paths.cache", " "),
        ("run_dir", 3),
        ("run", []),
        ("out", 3),
        ("publish", 3),
        ("runs", []),
        ("runs", None),
        ("runs", ["runs", 3]),
        ("baseline", 3),
        ("evaluation.weights", 3),
        ("evaluation.samples", 4),
        ("validation.samples", 1),
        ("validation.samples", 1_000_000_000),
        ("data.batch_size", 0),
        ("data.batch_size", 1.5),
        ("data.batch_size", "many"),
        ("data.batch_size", True),
        ("data.batch_size", None),
        ("data.workers", -1),
        ("model.generator.z_dim", 0),
        ("model.generator.widths", [256, 0]),
        ("model.g_optimizer.lr", -1e-4),
        ("model.g_optimizer.lr", float("nan")),
        ("stop.images", -5),
        ("seed", -1),
    ],
)
def test_a_bad_value_is_named_in_one_line(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^{key}=.*must be") as error:
        validate(changed(key, value))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "key",
    [
        *("format", "weights", "checkpoint", "on_change", "on_divergence", "logger.mode", "evaluation.extractor"),
        *("trainer.accelerator", "trainer.precision", "trainer.strategy"),
    ],
)
@pytest.mark.parametrize("value", [None, [], True])
def test_a_choice_is_one_of_those_known(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^{key}=.* is not known: "):
        validate(changed(key, value))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("run_dir", None),
        ("out", None),
        ("evaluation.weights", None),
        ("runs", "runs"),
        ("runs", ["a", "b"]),
        ("model.g_optimizer.betas", [0.0, 0.9]),
        ("model.encoder.name", "maker/model"),  # names of runs alone are of one part
    ],
)
def test_what_has_a_meaning_passes(key: str, value: Any) -> None:
    validate(changed(key, value))


@pytest.mark.parametrize("key", ["evaluation.samples", "n"])
def test_a_command_says_what_else_may_be_null(key: str) -> None:
    validate(changed(key, None), nullable=("evaluation.", "n"))
    with pytest.raises(UserError, match="must be"):
        validate(changed(key, None))


@pytest.mark.parametrize(
    "target", ["os.system", "torch.load", "torch.hub.load", "numpy.load", "srcery.evil", "subprocess.run", 3]
)
def test_targets_outside_our_code_are_refused(target: Any) -> None:
    with pytest.raises(UserError, match="is not allowed"):
        validate(changed("model._target_", target))


@pytest.mark.parametrize(
    ("extractor", "weights", "shape", "message"),
    [
        ("points", None, (1, 8, 8), r"points cannot measure samples of shape \[1, 8, 8\]"),
        ("digits", None, (2,), r"digits cannot measure samples of shape \[2\]"),
        ("stacked_digits", None, (1, 28, 28), "pick another extractor"),
        ("digits", "nope", (1, 8, 8), "evaluation.weights=nope is no file"),
        ("digits", ".", (1, 8, 8), "evaluation.weights=. is no file"),
    ],
)
def test_an_extractor_that_is_not_for_the_data(extractor: str, weights: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_extractor({"extractor": extractor, "weights": weights}, shape)


@pytest.mark.parametrize(
    ("extractor", "shape"), [("points", (2,)), ("digits", (1, 8, 8)), ("digits", (3, 8, 8)), ("stacked_digits", (3, 28, 28))]
)
def test_an_extractor_that_is_for_the_data(extractor: str, shape: tuple[int, ...]) -> None:
    check_extractor({"extractor": extractor, "weights": None}, shape)


def test_hash_names_what_is_computed() -> None:
    """Not how it is watched, nor where; nor the seed, which has a folder of its own."""
    name = short_hash(GOOD)
    for key, value in [("seed", 5), ("data.workers", 0), ("trainer.devices", 2), ("logger.mode", "online")]:
        assert short_hash(changed(key, value)) == name, key
    for key, value in [("data.batch_size", 32), ("trainer.precision", "bf16-mixed"), ("stop.images", 100)]:
        assert short_hash(changed(key, value)) != name, key


def test_differences_are_named() -> None:
    assert differences(GOOD, changed("data.batch_size", 32)) == ["data.batch_size: 64 -> 32"]
    assert differences(GOOD, changed("logger.mode", "disabled")) == []


def test_nearest() -> None:
    assert nearest("mpl_gan", ["mlp_gan", "vae"]) == "did you mean mlp_gan?"
    assert nearest("zzz", ["b", "a"]) == "known: a, b"


@pytest.mark.parametrize(
    ("key", "value"),
    [("lr_schedule", "cosine"), ("augment", True), ("ema", 0.999), ("penalties", "r1"), ("penalties", {"r1": 0.1})],
)
def test_a_part_of_a_gan_is_no_word_or_number(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"^model\.{key}.*=.*must be null or settings with a _target_"):
        validate(changed(f"model.{key}", value))
    validate(changed("model", {"_target_": "my.Model", key: value}) | {"model": {key: value}})  # others' models may take them


def test_where_the_data_are_is_no_part_of_a_recipe(compose: Any) -> None:
    here, there = compose("model=mlp_gan"), compose("model=mlp_gan", "paths.data=/elsewhere")
    assert there["data"]["source"]["folder"] == "/elsewhere/mnist"
    assert short_hash(here) == short_hash(there)
    assert differences(here, there) == []
    assert with_data_in("/elsewhere", here) == there
    assert with_data_in(None, there) == there
