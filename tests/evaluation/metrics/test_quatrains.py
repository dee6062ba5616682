"""Against poems whose form is known."""

import numpy as np
import pytest

from src.data.vocabulary import LOST
from src.evaluation.metrics.quatrains import form_metrics, form_of, lines_of, regulated, rhymed, shuffled_lines, tones

STORKS = "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。"  # regulated; rhyme 下平聲十一尤
DEER = "空山不見人，但聞人語響。返景入深林，復照青苔上。"  # an old-style quatrain; rhyme 上聲二十二養
SEVEN = "朝辭白帝彩雲間，千里江陵一日還。兩岸猿聲啼不住，輕舟已過萬重山。"


def test_tones() -> None:
    assert (tones("山"), tones("日"), tones("看"), tones("x")) == ({True}, {False}, {True, False}, set())


@pytest.mark.parametrize(("poem", "fits"), [(STORKS, (True, True)), (DEER, (True, False)), (SEVEN, (True, True))])
def test_rhyme_and_tones(poem: str, fits: tuple[bool, bool]) -> None:
    lines = lines_of(poem)
    assert (rhymed(lines), regulated(lines)) == fits


def test_a_line_that_breaks_a_rule() -> None:
    first, second, third, fourth = lines_of(STORKS)
    assert not regulated([third, second, first, fourth[::-1]])
    assert not rhymed([first, second, third, second])  # the same character is no rhyme
    assert not rhymed([first, second, third, fourth[:-1] + "人"])


def test_lines_in_another_order() -> None:
    found = shuffled_lines(STORKS, np.random.default_rng(0))
    assert found != STORKS
    assert form_of([found]) == form_of([STORKS])
    assert sorted(lines_of(found)) == sorted(lines_of(STORKS))
    assert shuffled_lines("no lines", np.random.default_rng(0)) == "no lines"


def test_shares_of_all_texts() -> None:
    form = form_of([STORKS, DEER])
    assert form == "字字字字字，字字字字字。" * 2
    assert form_of([STORKS, SEVEN]) is None
    assert form_of(["To be, or not"]) is None
    assert form_metrics([STORKS.replace("山", LOST)], form) == {"structure": 1, "rhyme": 1, "tones": 1}
    assert form_metrics([STORKS, DEER, STORKS[:-1], ""], form) == {"structure": 0.5, "rhyme": 0.5, "tones": 0.25}
