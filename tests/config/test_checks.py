import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from src.config.checks import check_target, entries, plain, validate
from src.config.errors import UserError, nearest
from src.config.identity import data_digest, differences, short_hash, with_data_in, with_path

ROOT = Path(__file__).parents[2]
GOOD: dict[str, Any] = {
    "seed": 0,
    "data": {"batch_size": 64, "workers": 2},
    "model": {
        "_target_": "src.models.gan.gan.GAN",
        "generator": {"_target_": "src.networks.mlp.MLPGenerator", "z_dim": 100, "widths": [256, 128]},
        "g_optimizer": {"_target_": "torch.optim.Adam", "lr": 1e-4},
        "penalties": {"r1": {"_target_": "src.models.gan.regularizers.Penalty", "weight": 0.1}},
    },
    "trainer": {"devices": 1, "precision": "32-true", "threads": None},
    "logger": {"wandb": {"mode": "offline"}},
    "evaluation": {"_target_": "src.evaluation.images.ImageSuite", "samples": 5},
    "stop": {"samples": None},
}


def changed(key: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(GOOD)
    *parents, leaf = key.split(".")
    node = config
    for parent in parents:
        node = node.setdefault(parent, {})
    node[leaf] = value
    return config


@pytest.mark.parametrize("trusted", [True, False])
def test_a_good_config_passes(trusted: bool) -> None:
    validate(GOOD, trusted=trusted)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", []),
        ("seed", -1),
        ("data.batch_size", 0),
        ("data.batch_size", 1.5),
        ("data.batch_size", "many"),
        ("data.batch_size", True),
        ("data.batch_size", None),
        ("data.workers", -1),
        ("stop.samples", -5),
        ("stop.target", "low"),
        ("log.every", 0),
        ("model.generator.z_dim", 0),
        ("model.generator.widths", 256),
        ("model.generator.widths", []),
        ("model.generator.widths", [256, 0]),
        ("model.generator.batch_norm", "no"),
        ("model.g_optimizer.lr", -1e-4),
        ("model.g_optimizer.lr", float("nan")),
        ("model.generator.likelihood_steps", 0),  # an argument means the same in every class
        ("model.generator.condition_dropout", 1),
        ("model.generator.multipliers", []),
        ("model.generator.mixture", -1),
        ("model.generator.sigma_data", 0),
        ("model.generator.guidance", -1),
        ("model.g_optimizer.betas", 0.9),
        ("model.g_optimizer.betas", [0.9, 1]),
        ("model.penalties.r1.weight", -1),
        ("fresh", "maybe"),
        ("quick", None),
        ("trainer.channels_last", "no"),
        ("name", None),
        ("name", 3),
        ("name", "../../x"),
        ("name", ".."),
        ("paths.data", None),
        ("paths.cache", " "),
        ("run_dir", 3),
        ("runs", []),
        ("runs", ["runs", 3]),
        ("evaluation.weights", 3),
        ("evaluation.samples", 4),
        ("validation.samples", 1_000_000_000),
    ],
)
def test_a_bad_value_is_named_in_one_line(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^{key}=.*must be") as error:
        validate(changed(key, value))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["format", "on_change", "logger.wandb.mode", "evaluation.split", "trainer.precision"])
@pytest.mark.parametrize("value", [None, [], True])
def test_a_choice_is_one_of_those_known(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^{key}=.* is not known: "):
        validate(changed(key, value))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("run_dir", None),
        ("evaluation.weights", None),
        ("runs", "runs"),
        ("runs", ["a", "b"]),
        ("model.g_optimizer.betas", [0.0, 0.9]),
        ("model.penalties.r1.weight", {"_target_": "src.training.schedules.cosine"}),
        ("model.encoder.name", "maker/model"),  # names of runs alone are of one part
        ("model.encoder", {"_target_": "my_lab.Encoder", "widths": 256}),  # others' arguments are theirs
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
    ("target", "typed"),
    [
        ("my_lab.Model", True),  # whether the user may type it
        ("os.system", True),
        ("torch.hub.load", True),
        ("srcery.evil", True),
        ("src.data.sources.Mirror", True),
        ("src.models._private", False),
        ("Model", False),
        ("a/b.Model", False),
        (3, False),
    ],
)
def test_what_a_config_from_elsewhere_may_not_build(target: Any, typed: bool) -> None:
    with pytest.raises(UserError, match=r"_target_.* is not allowed"):
        validate(changed("model._target_", target), trusted=False)
    if typed:
        validate(changed("model._target_", target))
    else:
        with pytest.raises(UserError, match="must be the dotted name of a class"):
            validate(changed("model._target_", target))


def test_packages_that_the_user_has_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIGC_PACKAGES", "my_lab, other")
    validate(changed("model._target_", "my_lab.Model"), trusted=False)
    with pytest.raises(UserError, match="is not allowed"):
        validate(changed("model._target_", "my_labs.Model"), trusted=False)


def test_hash_names_what_is_computed() -> None:
    """Not how it is watched, nor where; nor the seed, which has a folder of its own."""
    name = short_hash(GOOD)
    watched = [("trainer.devices", 2), ("logger.wandb.mode", "online"), ("log.every", 7), ("evaluation.device", "cuda")]
    for key, value in [("seed", 5), ("data.workers", 0), *watched]:
        assert short_hash(changed(key, value)) == name, key
    for key, value in [("data.batch_size", 32), ("trainer.precision", "bf16-mixed"), ("stop.samples", 100)]:
        assert short_hash(changed(key, value)) != name, key


def test_differences_are_named() -> None:
    assert differences(GOOD, changed("data.batch_size", 32)) == ["data.batch_size: 64 -> 32"]
    assert differences(GOOD, changed("logger.wandb.mode", "disabled")) == []
    assert differences({"data": "pathology"}, {"data": "digits"}) == ["data: pathology -> digits"]  # protocols


def test_nearest() -> None:
    assert nearest("mpl_gan", ["mlp_gan", "vae"]) == "did you mean mlp_gan?"
    assert nearest("zzz", ["b", "a"]) == "known: a, b"


def test_where_the_data_are_is_no_part_of_a_recipe(compose: Any) -> None:
    here, there = compose("model=mlp_gan"), compose("model=mlp_gan", "paths.data=/elsewhere")
    assert there["data"]["source"]["folder"] == "/elsewhere/mnist"
    assert short_hash(here) == short_hash(there)
    assert differences(here, there) == []
    assert with_data_in("/elsewhere", here) == there
    assert with_data_in(None, there) == there


@pytest.mark.parametrize("path", ["./mine", "/home/me/mine", "digits", "text", "data"])
def test_where_own_data_are_is_no_part_of_a_recipe_but_their_digest_is(path: str, compose: Any) -> None:
    """Also where the path is the word of another setting."""
    for name in ("folder", "text"):
        words = ["model=mlp_gan", f"data={name}", "evaluation.extractor=digits"]
        here, there = compose(*words, "data.path=mine"), compose(*words, f"data.path={path}")
        assert short_hash(here) == short_hash(there)
        assert differences(here, there) == []
        known, other = ({**here, "data": here["data"] | {"digest": digest}} for digest in ("a", "b"))
        assert short_hash(known) != short_hash(other)
        assert with_path(path, here)["data"] == there["data"]
        assert with_path("mine", there)["data"] == here["data"]


def test_paths_below_own_data_move_with_them_but_downloads_stay() -> None:
    config = {"paths": {"data": "/me/data"}, "data": {"path": "/me", "source": {"x": "/me/x", "cache": "/me/data/y"}}}
    assert with_path("/you", config)["data"] == {"path": "/you", "source": {"x": "/you/x", "cache": "/me/data/y"}}
    config = {"paths": {"data": "data"}, "data": {"path": "data/a", "source": {"x": ["data/a/x"], "y": "data/a/y"}}}
    assert with_path("b", config)["data"]["source"]["y"] == "b/y"


def test_a_second_folder_stays_beside_the_first(compose: Any) -> None:
    words = ["model=mlp_gan", "data=pairs", "evaluation.extractor=digits"]
    here, there = (compose(*words, f"data.path={place}/a", f"data.path_b={place}/b") for place in ("mine", "/you"))
    apart = compose(*words, "data.path=mine/a", "data.path_b=other/b")
    assert with_path("/you/a", here)["data"] == there["data"]
    assert with_path("/you/a", apart)["data"]["path_b"] == "other/b"
    assert short_hash(here) == short_hash(there) == short_hash(apart)


def test_hashes_of_published_runs_stay_as_they_are() -> None:
    found = sorted((ROOT / "results").rglob("config.yaml"))[::4]
    assert len(found) > 10
    for path in found:
        manifest = json.loads((path.parent / "manifest.json").read_text())
        assert short_hash(yaml.safe_load(path.read_text())) == manifest["config_hash"], path


def test_a_digest_names_data_by_their_bytes() -> None:
    two = {"a": "0", "b": "1"}
    assert data_digest({"book.txt": "0"}) == data_digest({"moved.txt": "0"}) != data_digest({"book.txt": "1"})
    assert data_digest(two) == data_digest(dict(reversed(two.items()))) != data_digest({"a": "1", "b": "0"})


def test_a_tilde_is_the_users_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    found = plain(OmegaConf.create({"out": "~/x", "paths": {"data": "~"}, "runs": ["~/a", "b"], "name": "a~/b", "n": 3}))
    assert found == {"out": "/home/me/x", "paths": {"data": "/home/me"}, "runs": ["/home/me/a", "b"], "name": "a~/b", "n": 3}


@pytest.mark.parametrize("key", ["model.eos_token", "model.pad_token", "data.mask_token", "model.tokens"])
def test_tokens_of_a_vocabulary_are_no_secrets(key: str) -> None:
    validate(changed(key, "<end>"))


@pytest.mark.parametrize("key", ["logger.api_key", "logger.token", "x.hf_token", "x.access_token", "x.password"])
def test_tokens_that_open_doors_are_secrets(key: str) -> None:
    with pytest.raises(UserError, match="holds a secret"):
        validate(changed(key, "abc"))


@pytest.mark.parametrize("group", ["data", "evaluation", "model"])
def test_a_run_folder_may_name_what_conf_names(group: str) -> None:
    for path in (ROOT / "conf" / group).rglob("*.yaml"):
        for key, value in entries(yaml.safe_load(path.read_text())):
            if key.rpartition(".")[2] == "_target_":
                check_target(key, value, trusted=False)
