"""Rules that share nothing with GANs, from training to the report: the same commands, no special case."""

from pathlib import Path
from typing import Any

import pytest
from clips import words_of_clips
from pair_data import Rectangles
from PIL import Image

from pictures import words_of_pictures
from src.config.errors import UserError
from src.evaluate import evaluate
from src.generate import generate
from src.report import report
from src.runs.folder import RunFolder
from src.runs.load import load_run
from src.train import train
from src.verify import verify

SMALL_PAIRS = ["data.length=24", "data.source_length=24", "model.network={width: 32, depth: 1, heads: 2}"]
SMALL_PICTURES = [
    "data=pairs",
    "data.size=16",
    "data.source_channels=1",
    "model.generator.widths=[8,8]",
    "model.discriminator={width: 8, layers: 1}",
    "evaluation.extractor=digits",
    "evaluation.validation_samples=4",
    "samples.n=4",
]
PNG = "step-000000020.png"
RULES = {
    "vae": (["model=vae", "data=digits"], "fd_digits", PNG),
    "flow": (
        ["model=flow", "data=digits", "model.nfe=3", "model.likelihood_steps=2", "model.conditional=true"],
        "fd_digits",
        PNG,
    ),
    "gpt": (["model=gpt", "data=text_pairs", *SMALL_PAIRS], "nats", "step-000000020.txt"),
    "autoregressive_images": (["model=autoregressive", "data=digits"], "nats", PNG),
    "pix2pix": (
        ["model=pix2pix", "data=pairs", "data.size=16", "data.source_channels=1", *SMALL_PICTURES],
        "perceptual_digits",
        PNG,
    ),
    "video_gan": (["model=video_gan", *words_of_clips()], "fd_clip-cnn-1", PNG),
    "contrastive": (["model=contrastive", "data=digits"], "knn_accuracy", None),
    "clip": (["model=clip", *words_of_pictures("clip"), "data.modality._target_=src.modalities.image.Image"], "recall", None),
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of drawings and of pictures, for data=pairs."""
    folders = tmp_path_factory.mktemp("drawings"), tmp_path_factory.mktemp("pictures")
    data = Rectangles()
    for name in ("train", "validation", "test"):
        for folder, field in zip(folders, ("source", "x"), strict=True):
            (folder / name.replace("validation", "val")).mkdir()
            for number, image in enumerate(data.split(name)[field]):
                pixels = image.transpose(1, 2, 0).squeeze()
                Image.fromarray(pixels).save(folder / name.replace("validation", "val") / f"{number}.png")
    return folders


@pytest.mark.parametrize("rule", RULES)
def test_from_training_to_the_report(
    rule: str,
    compose: Any,
    greetings: Path,
    pairs: tuple[Path, Path],
    tmp_path: Path,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIGC_PACKAGES", "clips,pictures")  # synthetic data of these tests, which the run's config names
    words, main, preview = RULES[rule]
    if rule == "pix2pix":
        words = [*words, *(f"data.{key}={folder}" for key, folder in zip(("path", "path_b"), pairs, strict=True))]
    if rule == "gpt":
        words = [*words, f"data.path={greetings}"]
    run = RunFolder(tmp_path / "run")
    result = train(compose(*words, "debug=tiny", "trainer.threads=1", f"run_dir={run.path}"))
    assert result["main"]["name"] == main
    assert result["controls"]
    assert run.manifest()["ended"]["step"] == 20
    assert [path.name for path in run.samples.glob("step-000000020*")] == ([preview] if preview else [])

    again = evaluate(compose(f"run={run.path}", name="evaluate", nullable=("evaluation.", "paths.data", "data.path")))
    assert again["metrics"] == result["metrics"]
    capsys.readouterr()
    verify(compose(f"run={run.path}", f"paths.cache={tmp_path}", name="verify", nullable=("steps", "paths.data", "data.path")))
    assert "bitwise equal over steps 1 to 20: " in capsys.readouterr().out

    asked = compose(f"run={run.path}", "n=4", name="generate", nullable=("n", "paths.data", "data.path"))
    if preview:
        assert len(load_run(run.path).sample(range(3))) == 3
        assert (generate(asked) / "samples.json").is_file()
    else:
        with pytest.raises(UserError, match=f"{rule} draws no samples"):
            generate(asked)
    words = f"runs={run.path}", f"out={tmp_path}/page.html", f"table={tmp_path}/table.md"
    page, *_, table = report(compose(*words, name="report"))
    assert main in page.read_text()
    assert main in table.read_text()
