"""The page's texts: both languages say everything that scripts and panels name."""

import json
import re
from pathlib import Path

from src.page.panels import panel

STATIC = Path(panel.__file__).parents[1] / "static"
TEXTS = json.loads((STATIC / "texts.json").read_text())


def test_both_languages_have_the_same_texts() -> None:
    assert TEXTS["en"].keys() == TEXTS["zh"].keys()
    for name, text in TEXTS["en"].items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", TEXTS["zh"][name])), name


def test_every_name_has_a_text() -> None:
    used = set()
    for path in STATIC.iterdir():
        words = path.read_text()
        used |= set(re.findall(r'(?:"data-text"|data-text|"data-label"|data-label)\s*[:=]\s*"([\w.]+)"', words))
        used |= set(re.findall(r'\b(?:tell|text)\("([\w.]+)"', words))
    for path in Path(panel.__file__).parent.glob("*.py"):
        words = path.read_text()
        used |= {f"setting.{name}" for name in re.findall(r'Control\(\s*"(\w+)"', words)}
        used |= {f"label.{name}" for name in re.findall(r'label="(\w+)"', words)}
        for tab in re.findall(r'found\["(\w+)"\] = Tab|return \{"(\w+)": Tab', words):
            used |= {f"tab.{''.join(tab)}", f"explain.{''.join(tab)}"}
    assert {"tab.sample", "tab.continue", "setting.guidance", "label.seen", "loading", "models"} <= used
    assert used <= TEXTS["en"].keys()
