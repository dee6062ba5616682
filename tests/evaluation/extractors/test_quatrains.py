"""The pinned weights, on poems that everyone knows."""

from pathlib import Path

import pytest
import safetensors.torch

from src.config.errors import UserError
from src.evaluation.extractors.quatrains import NAME, SHA256, WEIGHTS, QuatrainFeatures, lines_of

POEMS = [
    "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。",
    "空山不見人，但聞人語響。返景入深林，復照青苔上。",
    "紅豆生南國，秋來發故枝。願君多采擷，此物最相思。",
    "千山鳥飛絕，萬徑人蹤滅。孤舟簑笠翁，獨釣寒江雪。",
    "春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。",
    "牀前看月光，疑是地上霜。舉頭望山月，低頭思故鄉。",
]


def test_poems_have_higher_scores_than_spoiled_ones() -> None:
    features = QuatrainFeatures()
    assert (features.name, features.weights_sha256) == (NAME, SHA256)
    assert features.alphabet.coverage(POEMS) > 0.98 > features.alphabet.coverage(["汉语简体龙马车门"])
    lines = [lines_of(poem) for poem in POEMS]
    exchanged = ["，".join([*own[:2], *other[2:]]) for own, other in zip(lines, lines[1:] + lines[:1], strict=True)]
    backwards = ["，".join(own[::-1]) for own in lines]
    reversed_characters = [poem[::-1] for poem in POEMS]
    real, *others = (features(texts).sum(dim=1).mean().item() for texts in (POEMS, exchanged, backwards, reversed_characters))
    assert real > max(others)


def test_what_is_no_encoder_is_refused(tmp_path: Path) -> None:
    (path := tmp_path / "other.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="holds no weights of quatrain-cnn-1: make them"):
        QuatrainFeatures(path)
    state = safetensors.torch.load_file(WEIGHTS)
    safetensors.torch.save_file(state | {"line.bias": state["line.bias"] + 1}, path)
    assert QuatrainFeatures(path).name.startswith("quatrain-cnn-1-")
    with pytest.raises(UserError, match="no weights at"):
        QuatrainFeatures(tmp_path / "nothing")
