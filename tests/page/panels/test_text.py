"""The text panel, on models of a few symbols with random weights."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from src.config.errors import UserError
from src.data.spec import Field, Spec
from src.data.vocabulary import Vocabulary
from src.modalities.text import Text
from src.models.autoregressive import Autoregressive
from src.models.text_vae import TextVAE
from src.networks.decoder import Decoder
from src.networks.text_vae import TextVAE as Networks
from src.page.panels import text
from src.page.panels.panel import LoadedRun


def test_both_scripts(tmp_path: Path) -> None:
    spec = Spec({"x": Field("tokens", (9,), "int64", Vocabulary.of("春風雲龍").names)})
    model = Autoregressive(spec, 0, partial(Decoder, width=16, depth=1, heads=2), partial(torch.optim.AdamW, lr=1e-2))
    run = LoadedRun(SimpleNamespace(), "a", model, Text(spec), {"model": "0" * 64})  # type: ignore[arg-type]
    tab = text.tabs(run, 4)["continue"]
    drawn = [text.draw(run, "continue", tab.read({"prompt": prompt, "n": 2})).items for prompt in ("春风", "春風")]
    assert [item.data for item in drawn[0]] == [item.data for item in drawn[1]]
    assert drawn[0][0].data.startswith("春風")
    settings = tab.read({"prompt": "春风", "n": 2, "script": "simplified"})
    (first, _) = text.draw(run, "continue", settings).items
    assert first.data.startswith("春风")
    assert first.settings == {"seed": 0, "prompt": "春风", "script": "simplified", "temperature": 1.0}
    assert text.item(run, text.samples(run, [0], first.settings)[0], first.settings) == first  # as a kept one is drawn again
    text.save(run, "continue", settings, tmp_path)
    record = json.loads((tmp_path / "samples.json").read_text())
    assert record["samples"][0]["text"] == first.data
    assert record["provenance"].items() >= {"prompt": "春风", "prompt_read_as": "春風", "script": "simplified"}.items()


QUATRAIN = "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。"


@pytest.fixture
def quatrains() -> LoadedRun:
    """Its characters are those of one quatrain, and some that rhyme with 流 and 樓."""
    spec = Spec({"x": Field("tokens", (25,), "int64", Vocabulary.of(QUATRAIN + "秋愁舟頭春夏冬").names)})
    model = Autoregressive(spec, 0, partial(Decoder, width=16, depth=1, heads=2), partial(torch.optim.AdamW, lr=1e-2))
    return LoadedRun(SimpleNamespace(), "a", model, Text(spec), {"model": "0" * 64})  # type: ignore[arg-type]


def test_quatrains_are_shown_line_by_line_whether_real_or_generated(quatrains: LoadedRun) -> None:
    real = text.item(quatrains, quatrains.modality.encode(QUATRAIN, "prompt"))
    assert (real.kind, real.data.split("\n")) == ("verse", ["白日依山盡，", "黃河入海流。", "欲窮千里目，", "更上一層樓。"])
    assert text.item(quatrains, quatrains.modality.encode("白日", "prompt")).kind == "text"


def test_an_acrostic_that_rhymes(quatrains: LoadedRun, tmp_path: Path) -> None:
    tab = text.tabs(quatrains, 4)["continue"]
    settings = tab.read({"n": 2, "heads": "春夏秋冬", "rhyme": "forced"})
    items = text.draw(quatrains, "continue", settings).items
    for item in items:
        lines = item.data.split("\n")
        assert [line[0] for line in lines] == list("春夏秋冬")
        assert {lines[1][4], lines[3][4]} <= set("流樓秋愁舟頭")
    again = text.samples(quatrains, [1], items[1].settings or {})[0]
    assert text.item(quatrains, again, items[1].settings) == items[1]  # as a kept one is drawn again
    text.save(quatrains, "continue", settings, tmp_path)
    assert json.loads((tmp_path / "samples.json").read_text())["provenance"]["forced"] == [
        "heads=春夏秋冬",
        "form=5,5,5,5",
        "rhyme=true",
    ]
    with pytest.raises(UserError, match="begins no line"):
        text.draw(quatrains, "continue", tab.read({"heads": "，"}))
    assert not {"heads", "rhyme"} & text.draw(quatrains, "continue", tab.read({})).items[0].settings.keys()  # type: ignore[union-attr]


def test_other_languages_have_no_choice_of_script() -> None:
    spec = Spec({"x": Field("tokens", (9,), "int64", ("a", "b"))})
    model = Autoregressive(spec, 0, partial(Decoder, width=16, depth=1, heads=2), partial(torch.optim.AdamW, lr=1e-2))
    run = LoadedRun(SimpleNamespace(), "a", model, Text(spec), {})  # type: ignore[arg-type]
    assert not {"script", "heads", "rhyme"} & {control.name for control in text.tabs(run, 4)["continue"].controls}


@pytest.fixture
def latent_run() -> LoadedRun:
    spec = Spec({"x": Field("tokens", (5,), "int64", ("<pad>", "<end>", "<unknown>", "a", "b"))})
    network = partial(Networks, z_dim=3, width=16, depth=1, heads=2)
    model = TextVAE(spec, 0, network, partial(torch.optim.AdamW, lr=1e-3))
    return LoadedRun(SimpleNamespace(), "a", model, Text(spec), {"model": "0" * 64})  # type: ignore[arg-type]


def test_texts_between_two_latents(latent_run: LoadedRun, tmp_path: Path) -> None:
    tab = text.tabs(latent_run, 32)["morph"]
    settings = tab.read({"n": 2, "seed": 3, "temperature": 0.5})
    shown = text.draw(latent_run, "morph", settings)
    assert (shown.kind, shown.columns, len(shown.items)) == ("morph", text.STEPS, 2 * text.STEPS)
    assert {item.kind for item in shown.items} == {"text"}
    text.save(latent_run, "morph", settings, tmp_path)
    assert shown.items[-1].data in (tmp_path / "interpolation.txt").read_text()


def test_a_page_that_draws_few_samples_has_no_room_for_it(latent_run: LoadedRun) -> None:
    assert text.tabs(latent_run, text.STEPS - 1).keys() == {"continue"}
