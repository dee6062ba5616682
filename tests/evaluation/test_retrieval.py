"""The suite on shapes with captions: models that know everything or nothing, controls, merged captions, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from pictures import CaptionedShapes
from src.config.errors import UserError
from src.data.spec import Field, Spec
from src.data.vocabulary import UNKNOWN
from src.evaluation.retrieval import CONTROL_NAMES, Baselines, RetrievalSuite, class_prompts, merged
from src.models.model import Model

DATA = CaptionedShapes()
WORDS = ("red", "green", "blue", "disc", "square")
TOKENS = [DATA.words.names.index(word) for word in WORDS]


class Sees(Model):
    """Embeds colour and kind: of captions by their words, of pictures by their colour and, if `kinds`, by a corner's colour."""

    fields = ("x", "caption")

    def __init__(self, kinds: bool = True, constant: bool = False) -> None:
        super().__init__(DATA.spec, 0)
        self.kinds, self.constant = kinds, constant

    def network(self, weights: str = "ema") -> nn.Module:
        return nn.Identity()

    def embed_field(self, field: str, values: Tensor, weights: str = "ema") -> Tensor:
        if self.constant:
            return torch.ones(len(values), 5)
        if field == "caption":
            return torch.stack([(values == token).any(1) for token in TOKENS], 1).float()
        inside = ((values > 0.5).sum(1) == 1) & (values.amin(1) == -1)  # [B, H, W], pixels of one colour
        colour = ((values > 0.5) & inside[:, None]).flatten(2).any(2).float()  # [B, 3]
        height, width = inside.any(2).sum(1), inside.any(1).sum(1)
        square = inside.sum((1, 2)) == height * width
        kind = torch.stack([~square, square], 1).float() * self.kinds
        return torch.cat([colour, kind], 1)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("retrieval")
    return RetrievalSuite().evaluate(Sees(), DATA, None, folder), folder


def test_a_model_that_sees_everything_finds_everything(found: tuple[dict[str, Any], Path]) -> None:
    metrics = found[0]["metrics"]
    assert found[0]["main"] == {"name": "recall", "better": "higher"}
    assert metrics["picture_r10"] == metrics["caption_r5"] == metrics["zero_shot"] == 1
    assert metrics["caption_r1"] < 1  # a caption with an unknown word looks like another one
    assert RetrievalSuite().validate(Sees(), DATA) == 1


def test_every_control_has_every_metric_and_shuffled_pairs_are_chance(found: tuple[dict[str, Any], Path]) -> None:
    record = found[0]
    assert list(record["controls"]) == list(CONTROL_NAMES)
    for name, control in record["controls"].items():
        assert control.keys() == record["metrics"].keys() or name == "most_frequent"
    assert record["controls"]["most_frequent"] == {"zero_shot": 0.5}
    assert record["controls"]["shuffled"]["recall"] < record["metrics"]["recall"]
    constant = RetrievalSuite().evaluate(Sees(constant=True), DATA, None, found[1])["metrics"]
    assert record["controls"]["shuffled"]["caption_r1"] == pytest.approx(constant["caption_r1"], abs=0.04)
    assert record["controls"]["shuffled"]["zero_shot"] == pytest.approx(0.5, abs=0.05)
    assert constant["zero_shot"] == 0.5


def test_colours_alone_help_both_baselines(found: tuple[dict[str, Any], Path]) -> None:
    controls = found[0]["controls"]
    for name in ("colour_histogram", "bag_of_words"):
        assert controls[name]["recall"] > controls["shuffled"]["recall"]


def test_a_picture_shows_what_is_found(found: tuple[dict[str, Any], Path]) -> None:
    with Image.open(found[1] / "retrieval.png") as image:
        assert image.mode == "RGB"
        assert image.width > 6 * 60
        rows = min(8, found[0]["protocol"]["captions"])
        assert image.height > rows * 60


def test_equal_captions_are_merged_unless_a_word_is_unknown() -> None:
    names = DATA.words.names
    caption = np.stack([DATA.words.encode(text) for text in ("a red disc", "a red disc", "a big disc", "a odd disc")])
    pairs = merged(np.zeros((4, 1)), caption, None, names)
    assert sorted(pairs.relevant.sum(axis=1)) == [1, 1, 2]
    assert (caption == names.index(UNKNOWN)).any(axis=1).tolist() == [False, False, True, True]
    assert all((pairs.texts[row] == caption[pairs.relevant[row]]).all() for row in range(3))


def test_names_of_classes_without_a_known_word_are_left_out() -> None:
    spec = Spec({**DATA.spec.fields, "y": Field("class", (), "int64", ("red-disc", "odd-thing", "square"))})
    prompts = class_prompts(spec)
    assert prompts.known.tolist() == [True, False, True]
    assert DATA.words.decode(prompts.captions[0]) == "red disc"


def test_the_bag_of_words_takes_the_nearest_caption() -> None:
    """The colours of red training pictures are nearer to red pictures than to blue ones."""
    baselines, test = Baselines(DATA), DATA.split("test")
    captions = np.stack([DATA.words.encode(text) for text in ("a red disc", "a blue disc")])
    texts = [DATA.words.decode(caption) for caption in test["caption"]]
    red, blue = (next(row for row, text in enumerate(texts) if colour in text) for colour in ("red", "blue"))
    scores = baselines.by_words(captions, test["x"][[red, blue]])
    assert scores[0, 0] > scores[0, 1]
    assert scores[1, 1] > scores[1, 0]
    turned = baselines.by_colours(captions, test["x"][[red, blue]])
    assert turned[0, 0] > turned[1, 0]
    assert turned[1, 1] > turned[0, 1]


def test_what_cannot_be_measured_is_refused() -> None:
    suite = RetrievalSuite()
    with pytest.raises(UserError, match="is for pictures with captions"):
        suite.check(Spec.of("image", (1, 8, 8)))
    with pytest.raises(UserError, match="has no embeddings of captions"):
        suite.check_model(Model(DATA.spec, 0))
    blind = Sees()
    blind.fields = ("x", "melody")  # type: ignore[assignment]
    with pytest.raises(UserError, match="needs a tower of caption"):
        suite.check_model(blind)
    with pytest.raises(UserError, match="must be at least 2"):
        RetrievalSuite(samples=1)
