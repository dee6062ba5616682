"""Pictures that a person sends to a model of pictures, and test pictures; nothing is downloaded."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from src.config.errors import UserError
from src.config.experiment import Experiment
from src.page.panels import image, translation
from src.page.panels.panel import LoadedRun, panel_of
from src.page.real import NoRealData
from src.runs.folder import RunFolder

ROOT = Path(__file__).parents[3]
SMALL = ["model.generator.widths=[8,8]", "model.discriminator.width=8", "model.discriminator.layers=1", "debug=tiny"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, compose: Callable[..., dict[str, Any]]) -> LoadedRun:
    """An untrained pix2pix of emoji, whose data are nowhere."""
    config = compose("model=pix2pix", "data.size=16", *SMALL)
    experiment, folder = Experiment(config), RunFolder(tmp_path_factory.mktemp("run"))
    folder.write_config(config)
    spec = experiment.dataset.spec
    modality, model = experiment.modality(spec), experiment.model(spec)
    return LoadedRun(folder, "a/0", model, modality, {"model": "0" * 64}, data=str(folder.path / "nothing"))


def url(pixels: Any) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def pixels_of(item: Any) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(item.data.partition(",")[2]))) as picture:
        return np.asarray(picture)


def test_it_is_the_panel_of_models_that_read_pictures(run: LoadedRun) -> None:
    assert panel_of(run) is translation
    assert not image.supports(run)
    (tab,) = translation.tabs(run, 64).values()
    assert [control.name for control in tab.controls] == ["picture", "test_picture"]  # this one draws no random numbers
    assert not tab.judged


def test_a_sent_picture_is_shown_beside_what_is_made_of_it(run: LoadedRun, tmp_path: Path) -> None:
    tab = translation.tabs(run, 64)["translate"]
    settings = tab.read({"picture": url(np.full((40, 60, 3), 102))})
    source, made = translation.draw(run, "translate", settings).items
    assert (source.label, made.label) == ("source", "translated")
    assert np.array_equal(pixels_of(source), np.full((16, 16), 102))
    assert pixels_of(made).shape == (16, 16, 3)
    translation.save(run, "translate", settings, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000-source.png", "000000.png", "samples.json"]
    with Image.open(tmp_path / "000000.png") as saved:
        assert np.array_equal(np.asarray(saved), pixels_of(made))
    record = json.loads((tmp_path / "samples.json").read_text())
    assert record["provenance"]["picture"] == "of the person's own"
    assert "base64" not in json.dumps(record)


def test_errors_are_one_line(run: LoadedRun) -> None:
    tab = translation.tabs(run, 64)["translate"]
    for picture in ("data:,;base64,", "data:image/png;base64,AAAA"):
        with pytest.raises(UserError, match="your picture: cannot read it as a picture"):
            translation.draw(run, "translate", tab.read({"picture": picture}))
    with pytest.raises(UserError, match="your picture has not arrived"):
        translation.draw(run, "translate", tab.read({"picture": "data:image/png;base64,€"}))
    with pytest.raises(UserError, match=r"picture=.* is not possible here"):
        tab.read({"picture": "x" * 2_000_000})
    with pytest.raises(NoRealData, match=r"the real data are not in .*nothing/openmoji: get them with"):
        translation.draw(run, "translate", tab.read({}))


def test_test_pictures(run: LoadedRun) -> None:
    if not (ROOT / "data" / "openmoji_pixels" / "64").is_dir():
        pytest.skip("data/openmoji is not there: python -m src.prepare data=emoji_pairs gets it (4 MB)")
    config = run.folder.config()
    config["data"]["source"]["size"] = 64
    folder = RunFolder(run.folder.path.with_name("at_64"))
    folder.path.mkdir()
    folder.write_config(config)
    dataset = folder.experiment(str(ROOT / "data")).dataset
    folder.begin_manifest(data=dataset.hashes())
    experiment = folder.experiment(str(ROOT / "data"))
    model = experiment.model(dataset.spec)
    loaded = LoadedRun(folder, "a/0", model, experiment.modality(dataset.spec), {"model": "0" * 64}, data=str(ROOT / "data"))
    tab = translation.tabs(loaded, 64)["translate"]
    test = dataset.split("test")
    source, _ = translation.draw(loaded, "translate", tab.read({"test_picture": 211})).items  # of 210: begins again
    assert np.array_equal(pixels_of(source), test.batch(np.array([1]))["source"][0, 0])
