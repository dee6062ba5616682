"""Every model, loss, data set and experiment that conf/ offers composes, and trains two steps of the same code, made small."""

from pathlib import Path
from typing import Any

import pytest
from clips import words_of_clips

from pictures import PICTURES, words_of_pictures
from src.config.experiment import Experiment
from tunes import words_of_walks

CONF = Path(__file__).parent.parent / "conf"
BOOK = CONF.parent / "README.md"
SMALL = ["data=digits", "debug=tiny", "stop.samples=64", "trainer.threads=1"]
VOCABULARY_IN_FILES = (
    "poems",
    "poems_seven",
    "ci",
    "titles",
    "dialogue",
    "conversations",
    "text_pairs",
    "folk",
    "folk_rolls",
    "essen",
    "chorales",
    "midi",
    "emoji_captions",
)  # their spec reads these


SMALL_TEXT = [*SMALL[1:], "data=text", f"data.path={BOOK}", "data.length=24", "model.network.width=32"]
SMALL_UNET = ["model.network.width=8", "model.network.blocks=1", "model.nfe=3", "model.likelihood_steps=2"]


def options(group: str) -> list[str]:
    found = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    assert found
    return found


def two_steps(config: dict[str, Any]) -> None:
    from src.train import train

    result = train(config)
    assert result["metrics"][result["main"]["name"]] > 0


@pytest.mark.parametrize("model", options("model"))
def test_models(model: str, compose: Any, tmp_path: Path) -> None:
    if f"poems_{model}" in options("experiment"):  # trained there
        experiment = Experiment(compose(f"model={model}", *SMALL_TEXT))
        assert experiment.model(experiment.dataset.spec).networks()
        return
    small = [*SMALL[1:], f"data.path={BOOK}"] if model == "autoregressive" else SMALL
    if model in ("flow", "diffusion"):
        small = [*small, *SMALL_UNET]
    if model.startswith("music_"):
        small = [*SMALL[1:], *words_of_walks(model)]
    if model in PICTURES:
        small = [*SMALL[1:], *words_of_pictures(model)]
    if model == "video_gan":
        small = [*SMALL[1:], *words_of_clips()]
    two_steps(compose(f"model={model}", *small, f"run_dir={tmp_path}"))


# Networks of published width take up to half a minute and 600 MB; tests/test_published.py checks the widths themselves.
NARROW = {
    "r3gan": ["widths=[32,32]", "cardinality=[4,4]"],
    "stylegan2": ["channel_max=32"],
    **{name: ["width=32"] for name in ("sngan", "wgan_gp", "cgan_pd", "biggan")},
    "image_transformer": ["width=32", "depth=1", "hidden=8"],
}
ONE_NETWORK = ("image_transformer",)


@pytest.mark.parametrize("experiment", options("experiment"))
def test_experiments(experiment: str, compose: Any, tmp_path: Path) -> None:
    words = [f"experiment={experiment}", *SMALL, f"run_dir={tmp_path}"]
    if experiment.endswith("_cifar10"):
        narrow = next((words for name, words in NARROW.items() if experiment.startswith(name)), [])
        networks = ("network",) if experiment.startswith(ONE_NETWORK) else ("generator", "discriminator")
        words += [f"model.{network}.{word}" for network in networks for word in narrow]
    if experiment.startswith(("flow", "edm", "families_flow", "families_diffusion")):
        words += SMALL_UNET
    if "vae" in experiment or "iwae" in experiment:
        words.append("model.likelihood_samples=2" if "text" in experiment else "model.likelihood_samples=20")
    if experiment.startswith("poems_"):  # texts, and both phases of a GAN
        words = [*words[:1], *SMALL_TEXT, *words[1 + len(SMALL) :]]
        words += ["model.pretraining.samples=32"] if experiment.endswith("_gan") else []
    if experiment.startswith("tunes_"):
        words = [*words[:1], *words_of_walks("music_vae" if "vae" in experiment else "music_gpt"), *words[2:]]
    captioned = {"captions_flow": "text_to_image", "captions_gan": "text_to_image_gan", "captions_judge": "clip"}
    captioned["layouts"] = "layout_to_image"
    model = experiment.removesuffix("_256").removeprefix("pictures_").replace("l1", "pix2pix")
    model = captioned.get(experiment, model)
    if model in PICTURES:
        words = [*words[:1], *SMALL[1:], *words_of_pictures(model), *words[-1:]]
    if experiment.startswith("clips_"):
        words = [*words[:1], *SMALL[1:], *words_of_clips(), *words[-1:]]
    if experiment == "gaussians":  # points, not the images of the small data set
        words.remove("data=digits")
    two_steps(compose(*words))


@pytest.mark.parametrize("loss", [loss for loss in options("loss") if loss != "none"])
def test_losses(loss: str, compose: Any, tmp_path: Path) -> None:
    two_steps(compose("model=mlp_gan", f"loss={loss}", *SMALL, f"run_dir={tmp_path}"))


@pytest.mark.parametrize("data", options("data"))
def test_data(data: str, compose: Any, tmp_path: Path) -> None:
    """What each one's classes are, its own test says; here that it can be built, before any file is there, and is sound."""
    texts = dict.fromkeys(("text", "conversations", "text_pairs"), BOOK)
    own = dict.fromkeys(("folder", "midi", "pairs", "unpaired", "video"), tmp_path) | texts
    path = [f"data.path={own[data]}"] if data in own else []
    path += [f"data.path_b={tmp_path}"] if data in ("pairs", "unpaired") else []
    dataset = Experiment(compose(f"data={data}", f"paths.data={tmp_path}", *path)).dataset
    assert dataset.name == data
    if data not in VOCABULARY_IN_FILES:
        assert len(dataset.spec.shape) == {"image": 3, "points": 1, "tokens": 1, "video": 4}[dataset.spec.kind]
        assert len(set(dataset.spec.classes)) == len(dataset.spec.classes) != 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group in ("logger", "callbacks", "trainer", "evaluation") for name in options(group)]
)
def test_other_groups_compose(group: str, name: str, compose: Any) -> None:
    assert compose(f"{group}={name}")[group] is not None


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_commands_compose(name: str) -> None:
    import hydra

    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        hydra.compose(name)
