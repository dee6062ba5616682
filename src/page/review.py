"""Judging samples: marks, the export of what was kept, and the blind test."""

import json
import os
import secrets
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from src.config.errors import UserError
from src.page.panels.panel import Item, LoadedRun, Output, let_through, panel_of, shown
from src.page.real import real_split
from src.page.runs import Entry
from src.runs import review

NOTE = 1000  # characters
WAITING = 100  # questions of the blind test without an answer
TRIED = 8  # seeds for a question, where filters may leave some out


def mark(entry: Entry, settings: dict[str, Any], kind: str, note: Any) -> None:
    """Keep the mark of one sample in the run folder."""
    if not (isinstance(note, str) and len(note) <= NOTE):
        raise UserError(f"a note has at most {NOTE:,} characters: shorten it")
    write(entry, {"kind": "mark", "settings": settings, "mark": kind, "note": note})


def write(entry: Entry, record: dict[str, Any]) -> None:
    try:
        review.append(entry.folder.path, record)
    except OSError as error:
        raise UserError(f"cannot write to {entry.name} ({error.strerror}): make it writable, or judge a copy of it") from error


def writable(entry: Entry) -> bool:
    file = entry.folder.path / review.FILE
    return os.access(file if file.exists() else entry.folder.path, os.W_OK)


def kept(entry: Entry, run: LoadedRun, most: int) -> list[tuple[dict[str, Any], list[int], dict[int, str]]]:
    """The kept samples by their settings without the seed: (settings, seeds, note of each seed).

    Settings that the page does not offer are passed over: the file may come from someone else.
    """
    judged = [tab for tab in panel_of(run).tabs(run, most).values() if tab.judged]
    groups: dict[str, tuple[dict[str, Any], list[int], dict[int, str]]] = {}
    for found in review.marks(entry.folder.path):
        if found.mark != "keep" or "seed" not in found.settings:
            continue
        try:
            checked = judged[0].read(found.settings)
        except (UserError, IndexError) as error:
            review.name_once(f"{entry.name}: a kept sample is passed over: {error}")
        else:
            settings = {name: checked[name] for name in found.settings if name not in ("seed", "n")}
            group = groups.setdefault(json.dumps(settings, sort_keys=True), (settings, [], {}))
            group[1].append(checked["seed"])
            group[2][checked["seed"]] = found.note
    return [*groups.values()]


def kept_items(entry: Entry, run: LoadedRun, most: int) -> Output:
    """The kept samples, drawn again; at most `most`."""
    panel = panel_of(run)
    items: list[Item] = []
    left_out = 0
    for settings, seeds, _ in kept(entry, run, most):
        seeds = seeds[: most - len(items)]
        if seeds:
            drawn = let_through(run, panel.samples, settings, seeds)
            left_out += drawn.left_out or 0
            found = zip(drawn.samples, drawn.seeds, strict=True)
            items += [panel.item(run, x, {"seed": seed, **settings}) for x, seed in found]
    return Output("grid", items, left_out=left_out if run.judges else None)


def export_kept(entry: Entry, run: LoadedRun, most: int, folder: Path) -> None:
    """Write the kept samples as python -m src.generate does, one folder for each group of settings, notes in the provenance."""
    groups = kept(entry, run, most)
    if not groups:
        raise UserError("nothing was kept yet: draw samples and keep some")
    for number, (settings, seeds, notes) in enumerate(groups, start=1):
        drawn = let_through(run, panel_of(run).samples, settings, seeds)
        written = {str(seed): notes[seed] for seed in drawn.seeds if notes[seed]}
        provenance = drawn.provenance | ({"notes": written} if written else {})
        shown(run, settings).save([drawn.samples], folder / f"kept-{number}", drawn.seeds, provenance)


class BlindTest:
    """Questions "generated or real?". What is right stays here until the answer comes."""

    def __init__(self, data: str | None) -> None:
        self.data = data
        self._open: OrderedDict[str, tuple[str, bool, dict[str, Any]]] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, entry: Entry, run: LoadedRun) -> tuple[str, Item]:
        """A new question: (its token, a sample of the model or of the test split, by a fair coin)."""
        panel, split = panel_of(run), real_split(entry.folder.path, self.data)
        seeds = [secrets.randbelow(2**31) for _ in range(TRIED if run.judges else 1)]
        drawn = let_through(run, panel.samples, {}, seeds)  # always, because the time that it takes would tell
        sample, settings = drawn.samples[0], {"seed": drawn.seeds[0]}
        generated = bool(secrets.randbelow(2))
        if not generated:
            import numpy as np
            import torch

            number = secrets.randbelow(len(split))
            sample, settings = torch.from_numpy(split.batch(np.array([number]))["x"])[0], {"test_image": number}
        token = secrets.token_hex(16)
        with self._lock:
            self._open[token] = entry.id, generated, settings
            while len(self._open) > WAITING:
                self._open.popitem(last=False)
        return token, panel.item(run, sample)

    def answer(self, entry: Entry, token: Any, answer: Any) -> bool:
        """Keep an answer in the run folder; returns whether the image was generated."""
        if answer not in review.ANSWERS:
            raise UserError(f"answer={str(answer)[:40]} is not possible: {' or '.join(review.ANSWERS)}")
        with self._lock:
            asked = self._open.pop(token, None) if isinstance(token, str) else None
        if asked is None or asked[0] != entry.id:
            raise UserError("this question was answered before or is too old: take the next one")
        write(entry, {"kind": "blind", "settings": asked[2], "generated": asked[1], "answer": answer})
        return asked[1]


def hits(entry: Entry) -> dict[str, Any] | None:
    """Right answers of the blind test as JSON; None without any."""
    found = review.blind(entry.folder.path)
    return found and found._asdict()
