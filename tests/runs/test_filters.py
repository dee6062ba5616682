"""What filters leave out of samples, of real texts and pictures, and what the files beside the samples say of it."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pictures import CaptionedShapes
from src.config.errors import UserError
from src.data.spec import Field, Spec
from src.data.vocabulary import END, PAD
from src.generate import generate
from src.modalities.image import Image as Pictures
from src.modalities.text import Text
from src.runs import filters
from src.runs.filters import ClipFilter, WordList

ROOT = Path(__file__).parent.parent.parent
JUDGE = str(ROOT / "results/judges/captions/100")  # a published model=clip
POEMS = "run=" + str(ROOT / "results/poems/gpt/0")
OFF = {"words": None, "clip": None, "prompt": None, "threshold": 0.3, "own": None}


@pytest.fixture
def draw(compose: Any, tmp_path: Path) -> Callable[..., Path]:
    def drawn(*words: str, out: str = "out") -> Path:
        nullable = ("n", "paths.data", "data.path")
        return generate(compose(*words, f"out={tmp_path / out}", name="generate", nullable=nullable))

    return drawn


def texts_of(folder: Path) -> dict[int, str]:
    return {sample["seed"]: sample["text"] for sample in json.loads((folder / "samples.json").read_text())["samples"]}


def listed(path: Path, *words: str) -> WordList:
    path.write_text("\n".join(words))
    return WordList(str(path))


def finds(words: WordList, text: str) -> bool:
    names = (PAD, END, *sorted({*text}))
    modality = Text(Spec({"x": Field("tokens", (len(text),), "int64", names)}))
    words.prepare(modality)
    return words.rejects(modality.encode(text, "x")[None], modality)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What a damn shame", True),
        ("DAMN!", True),
        ("\uff44\uff41\uff4d\uff4e", True),  # in full width
        ("他说damn了", True),  # between characters of a script without spaces
        ("damnation, undamn", False),
        ("a red\nherring", True),
        ("the red herrings", False),
        ("舊時王謝堂前燕", True),  # in the other script
        ("舊事", False),
        ("", False),
    ],
)
def test_which_texts_a_word_list_finds(text: str, expected: bool, tmp_path: Path) -> None:
    assert finds(listed(tmp_path / "words.txt", "Damn", "", "red  herring", "旧时"), text) is expected


def test_poems_with_a_word_are_in_no_file(draw: Any, tmp_path: Path, capsys: Any) -> None:
    whole = texts_of(draw(POEMS, "n=3", "seed=4"))
    word = whole[5][:2]
    (words := tmp_path / "words.txt").write_text(f"{word}\n")
    folder = draw(POEMS, "n=3", "seed=4", f"filter.words={words}", out="filtered")
    left_out = [seed for seed, text in whole.items() if word in text]
    assert 5 in left_out
    assert texts_of(folder) == {seed: text for seed, text in whole.items() if seed not in left_out}
    assert not any(word in path.read_text() for path in folder.iterdir())
    for name in ("samples.json", "grid.json"):
        (record,) = json.loads((folder / name).read_text())["provenance"]["filter"]
        digest = hashlib.sha256(words.read_bytes()).hexdigest()
        assert record == {"words": "words.txt", "sha256": digest, "count": 1, "left_out": left_out}
    assert f"{len(left_out)} of 3 samples left out" in capsys.readouterr().err
    with np.load(draw(POEMS, "n=3", "seed=4", f"filter.words={words}", "format=npz", out="array")) as stored:
        assert stored["seeds"].tolist() == [seed for seed in whole if seed not in left_out]


def test_without_filters_nothing_is_recorded(draw: Any) -> None:
    record = json.loads((draw(POEMS, "n=1") / "samples.json").read_text())
    assert "filter" not in record["provenance"]


def test_if_nothing_stays_nothing_is_written(draw: Any, tmp_path: Path) -> None:
    (words := tmp_path / "words.txt").write_text("，\n")
    with pytest.raises(UserError, match="leaves out all of 2 samples"):
        draw(POEMS, "n=2", f"filter.words={words}")
    assert not (tmp_path / "out").exists()


# Pictures


def test_a_clip_run_finds_pictures_that_show_the_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    data = CaptionedShapes(size=32)
    test = data.split("test")
    x = torch.from_numpy(np.asarray(test["x"]))
    captions = [data.words.decode(row).split() for row in test["caption"]]
    red = torch.tensor(["red" in caption for caption in captions])
    one = ClipFilter(JUDGE, "red", 0.3)
    one.prepare(Pictures(Spec({"x": data.spec.x})))
    similar = one.similarities(x)
    assert similar.abs().max() <= 1 + 1e-6
    assert similar[red].mean() > similar[~red].mean() + 0.2
    one.threshold = float(similar.median())
    rejected = torch.tensor(one.rejects(x, None))
    assert rejected.tolist() == (similar > one.threshold).tolist()
    assert rejected[red].float().mean() > 2 * rejected[~red].float().mean()
    # Of another size; grey ones; portions.
    large = torch.nn.functional.interpolate(x.float(), scale_factor=2.0).to(torch.uint8)
    assert one.similarities(large) == pytest.approx(similar, abs=0.1)
    assert one.similarities(x[:, :1]).shape == (len(x),)
    monkeypatch.setattr(filters, "PORTION", 3)
    assert one.similarities(x) == pytest.approx(similar, abs=1e-5)


def test_pictures_that_are_left_out(draw: Any, tiny_run: Path) -> None:
    run = f"run={tiny_run}"
    whole = draw(run, "n=9", out="all")
    one = ClipFilter(JUDGE, "red circle", 0.0)
    one.prepare(Pictures(Spec({"x": Field("image", (1, 8, 8), "uint8")})))
    x = torch.stack([torch.from_numpy(np.array(Image.open(whole / f"{seed:06d}.png")))[None] for seed in range(9)])
    similar = one.similarities(x)
    threshold = similar.sort().values[5:7].mean().item()
    folder = draw(run, "n=9", f"filter.clip={JUDGE}", "filter.prompt=red circle", f"filter.threshold={threshold}")
    left_out = (similar > threshold).nonzero().flatten().tolist()
    names = sorted(path.name for path in folder.glob("0*.png"))
    assert names == [f"{seed:06d}.png" for seed in range(9) if seed not in left_out]
    assert all((folder / name).read_bytes() == (whole / name).read_bytes() for name in names)
    (record,) = json.loads((folder / "samples.json").read_text())["provenance"]["filter"]
    assert record["left_out"] == left_out
    assert (record["clip"], record["prompt"], record["threshold"]) == ("captions/100", "red circle", threshold)
    assert len(record["network"]) == 64


def test_what_the_run_does_not_know(capsys: Any, tiny_run: Path) -> None:
    colour = Pictures(Spec({"x": Field("image", (3, 8, 8), "uint8")}))
    ClipFilter(JUDGE, "a red xyzzy", 0.3).prepare(colour)
    assert "does not know: xyzzy" in capsys.readouterr().err
    with pytest.raises(UserError, match="knows no word"):
        ClipFilter(JUDGE, "xyzzy", 0.3).prepare(colour)
    with pytest.raises(UserError, match="name a run of model=clip"):
        ClipFilter(str(tiny_run), "red", 0.3).prepare(colour)


# One's own, and settings


class Dark:
    """Leaves out dark pictures."""

    def __init__(self, below: float) -> None:
        self.below = below

    def prepare(self, modality: Any) -> None:
        assert modality.spec.kind == "image"

    def rejects(self, samples: Any, modality: Any) -> Sequence[bool]:
        return [bool(sample.float().mean() < self.below) for sample in samples]

    def record(self) -> dict[str, Any]:
        return {"dark": self.below}


def test_a_filter_of_ones_own(draw: Any, tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    whole = draw(f"run={tiny_run}", "n=8", out="all")
    means = {seed: np.array(Image.open(whole / f"{seed:06d}.png")).mean() for seed in range(8)}
    limit = float(np.median(list(means.values())))
    folder = draw(f"run={tiny_run}", "n=8", f"filter.own={{_target_: test_filters.Dark, below: {limit}}}")
    (record,) = json.loads((folder / "samples.json").read_text())["provenance"]["filter"]
    assert record == {"dark": limit, "left_out": [seed for seed, mean in means.items() if mean < limit]}
    assert len(list(folder.glob("0*.png"))) == 8 - len(record["left_out"])


def test_several_filters_and_what_each_leaves_out() -> None:
    samples = torch.tensor([10.0, 20.0, 30.0, 40.0])[:, None, None, None]
    kept, records = filters.keep([Dark(25), Dark(15)], samples, [7, 8, 9, 10], None)
    assert kept == [2, 3]
    assert [record["left_out"] for record in records] == [[7, 8], [7]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words": "missing.txt"}, "filter.words=missing.txt: cannot read it"),
        ({"clip": "runs/none", "prompt": "red"}, "runs/none"),
        ({"clip": "runs/none"}, "filter.clip= needs filter.prompt="),
        ({"prompt": "red"}, "filter.prompt= needs filter.clip="),
        ({"own": {"_target_": "builtins.list"}}, "prepare, rejects and record"),
        ({"own": "Dark"}, "prepare, rejects and record"),
    ],
)
def test_wrong_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        filters.asked({"filter": OFF | changes})


def test_an_empty_list(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no word in it"):
        listed(tmp_path / "words.txt", "", "  ")


@pytest.mark.parametrize("word", ["interpolate=4", "film=true", "format=onnx"])
def test_what_has_no_place_for_a_filter(word: str, draw: Any, tiny_run: Path) -> None:
    with pytest.raises(UserError, match=r"filter\.words="):
        draw(f"run={tiny_run}", word, "filter.words=words.txt")


def test_filters_of_another_kind_are_refused_before_anything_is_drawn(draw: Any, tiny_run: Path, tmp_path: Path) -> None:
    (words := tmp_path / "words.txt").write_text("word\n")
    with pytest.raises(UserError, match="judges texts"):
        draw(f"run={tiny_run}", f"filter.words={words}")
    with pytest.raises(UserError, match="judges pictures"):
        draw(POEMS, f"filter.clip={tiny_run}", "filter.prompt=red")
    assert not (tmp_path / "out").exists()


def test_filtered_samples_have_a_place_of_their_own(compose: Any, tmp_path: Path) -> None:
    from src.runs.folder import RunFolder
    from src.runs.outputs import output_path

    nullable = ("n", "paths.data", "data.path")
    config = compose(f"run={tmp_path}", "n=4", "filter.words=lists/words.txt", name="generate", nullable=nullable)
    name = "samples-n4-filter.words=lists%2Fwords.txt-seed0"
    assert output_path(config, RunFolder(tmp_path)) == tmp_path / "generated" / name
