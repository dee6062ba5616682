"""Against values found by hand, and against sacrebleu."""

import random

import pytest
from sacrebleu.metrics import BLEU

from src.evaluation.metrics.texts import (
    Training,
    distinct,
    groups,
    lead,
    nearest_texts,
    overlap,
    rouge_l,
    rouge_n,
    self_bleu,
    within,
)

STORKS = "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。"


def test_distinct() -> None:
    assert distinct(["abab", "b"]) == {"distinct_1": 2 / 5, "distinct_2": 2 / 3, "distinct_3": 1, "distinct_4": 1}
    assert distinct(["", ""])["distinct_1"] == 0


def test_self_bleu_is_that_of_sacrebleu() -> None:
    letters = random.Random(0)
    texts = ["".join(letters.choices("abcd", k=letters.randint(6, 12))) for _ in range(12)]
    others = [texts[:row] + texts[row + 1 :] for row in range(len(texts))]
    known = BLEU(tokenize="char", smooth_method="none").corpus_score(texts, list(zip(*others, strict=True))).score / 100
    assert self_bleu(texts) == pytest.approx(known)
    assert self_bleu(["abcdef"] * 3) == pytest.approx(1)
    assert self_bleu(["abcdef", "ghijkl"]) == 0


def test_rouge_by_hand() -> None:
    assert rouge_n("abcd", "abd", 1) == pytest.approx(6 / 7)
    assert rouge_n("abcd", "abd", 2) == pytest.approx(2 / 5)  # ab of ab, bc, cd and ab, bd
    assert rouge_n("aaa", "a", 1) == pytest.approx(2 / 4)
    assert rouge_l("abcd", "acbd") == pytest.approx(6 / 8)  # abd or acd
    assert rouge_l("", "a") == rouge_n("a", "", 2) == 0


def test_overlap() -> None:
    same = overlap([STORKS], [STORKS])
    assert same == pytest.approx({"bleu": 100, "chrf": 100, "rouge_1": 1, "rouge_2": 1, "rouge_l": 1})
    assert max(overlap(["甲乙丙丁"], ["戊己庚辛"]).values()) == 0


def test_lead_and_nearest() -> None:
    assert lead(STORKS) == STORKS[:12]
    assert lead("no end") == "no end"
    assert nearest_texts(["送別", "春日遊"], ["春日", "送友人別", "夜"]) == [1, 0]


def test_groups() -> None:
    assert groups(7, 3) == [slice(0, 3), slice(3, 6)]
    assert groups(2, 3) == []


def test_copies() -> None:
    training = Training([STORKS, "空山不見人，但聞人語響。返景入深林，復照青苔上。"])
    one = STORKS.replace("日", "月")
    assert training.near([one, one.replace("河", ""), one.replace("河", "").replace("樓", "臺"), STORKS[5:], "日"]) == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert training.shares_two_lines("白日依山盡，空山不見人。但聞人語響，深林人不知。")
    assert not training.shares_two_lines("白日依山盡，空山不見人。白日依山盡，深林人不知。")


def test_edits() -> None:
    assert within("kitten", "sitting", 3)
    assert not within("kitten", "sitting", 2)
    assert within("", "ab", 2)
