"""The command that draws what the page shows."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

from src.page.panels.panel import LoadedRun, Tab
from src.runs import filters

SIGNS = re.compile(r"([\\()\[\]{}:=,])")  # which mean something to Hydra in the keys of a mapping


def generate_command(run: LoadedRun, tab: Tab, settings: Mapping[str, Any], filtered: Mapping[str, Any]) -> str:
    """python -m src.generate for the settings of a tab, without those that have their defaults; "" if it cannot draw this."""
    if tab.words is None:
        return ""
    defaults = {control.name: control.value for control in tab.controls}
    always = "n", "seed", "class", "prompt", "layout"
    chosen = {name: value for name, value in settings.items() if value not in (None, "")}
    chosen = {name: value for name, value in chosen.items() if name in always or value != defaults[name]}
    chosen |= {"rhyme": "true"} if "rhyme" in chosen else {}
    judged = filters.given(filtered)
    judged |= {"filter.threshold": filtered["filter"]["threshold"]} if "filter.clip" in judged else {}
    words = [f"{name}={written(value)}" for name, value in {**chosen, **judged}.items()]
    return shlex.join(["python", "-m", "src.generate", f"run={run.name}", *tab.words, *words])


def written(value: Any) -> str:
    """A value as Hydra reads it."""
    if not isinstance(value, Mapping):
        return str(value)
    parts = (SIGNS.sub(r"\\\1", str(key)) + ": " + written(part) for key, part in value.items())
    return "{" + ", ".join(parts) + "}"
