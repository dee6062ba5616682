"""Quatrains in a real browser: a rhyme and an acrostic that a person asks for, in columns from right to left."""

import re
from collections.abc import Callable
from itertools import pairwise

from playwright.sync_api import Page, expect

from src.evaluation.metrics.quatrains import rhymed

HEADS = "春夏秋冬"
BOXES = "lines => lines.map(line => { const box = line.getBoundingClientRect(); return [box.left, box.width, box.height]; })"


def test_an_acrostic_that_rhymes_stands_in_columns(visit: Callable[..., Page]) -> None:
    page = visit("results/poems/gpt/0")
    page.get_by_label("Rhyme").select_option("lines 2 and 4")
    acrostic = page.get_by_label("Acrostic")
    acrostic.fill(HEADS)
    acrostic.blur()
    verses = page.locator(".sides .verse")
    for place, head in enumerate(HEADS, start=1):
        expect(verses.locator(f"span:nth-child({place})")).to_have_text([re.compile(f"^{head}.{{5}}$")] * 4, timeout=60_000)
    for verse in verses.all():
        assert rhymed([line[:5] for line in verse.locator("span").all_inner_texts()])
    boxes = verses.first.locator("span").evaluate_all(BOXES)
    assert all(left > next_left for (left, *_), (next_left, *_) in pairwise(boxes))
    assert all(height > 3 * width for _, width, height in boxes)
