"""What the page offers for a model of texts with a latent."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from src.data.spec import Field, Spec
from src.modalities.text import Text
from src.models.text_vae import TextVAE
from src.networks.text_vae import TextVAE as Networks
from src.page.panels import text
from src.page.panels.panel import LoadedRun


@pytest.fixture
def run() -> Any:
    spec = Spec({"x": Field("tokens", (5,), "int64", ("<pad>", "<end>", "<unknown>", "a", "b"))})
    network = partial(Networks, z_dim=3, width=16, depth=1, heads=2)
    model = TextVAE(spec, 0, network, partial(torch.optim.AdamW, lr=1e-3))
    return LoadedRun(SimpleNamespace(), "a", model, Text(spec), {"model": "0" * 64})  # type: ignore[arg-type]


def test_texts_between_two_latents(run: LoadedRun, tmp_path: Path) -> None:
    tab = text.tabs(run, 32)["morph"]
    settings = tab.read({"n": 2, "seed": 3, "temperature": 0.5})
    shown = text.draw(run, "morph", settings)
    assert (shown.kind, shown.columns, len(shown.items)) == ("morph", text.STEPS, 2 * text.STEPS)
    assert {item.kind for item in shown.items} == {"text"}
    text.save(run, "morph", settings, tmp_path)
    assert shown.items[-1].data in (tmp_path / "interpolation.txt").read_text()


def test_a_page_that_draws_few_samples_has_no_room_for_it(run: LoadedRun) -> None:
    assert text.tabs(run, text.STEPS - 1).keys() == {"continue"}
