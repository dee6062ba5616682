"""The interface of a panel: what a person can do with the runs of one modality.

A file in this folder is a panel: a module with the functions of `Panel`. The page shows its tabs and their controls, and asks
it for what they draw. Labels of tabs and controls are in static/texts.json, by name.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import src.page.panels
from src.config.checks import is_number
from src.config.errors import UserError
from src.evaluation.steering import Steering, recorded, steerable
from src.modalities.modality import Plays
from src.runs import filters, layouts, prompts, tunes
from src.runs.folder import RunFolder
from src.runs.sampling import condition

SEEDS = 999_999  # the largest seed that the page offers
NFE = 64  # evaluations that a slider offers, where the model's own default is not above it
# Settings that are no arguments of a model's `sample`.
OTHERS = (
    *("n", "seed", "class", "prompt", "layout", "script", "heads", "rhyme", "bars", "tempo", "key"),
    *("picture", "test_picture", "directions"),
)
SOLVERS = "euler", "heun", "multistep"


@dataclass(frozen=True)
class LoadedRun:
    """A run with its model, in evaluation mode.

    provenance: see `provenance_of`. data: see Catalog. judges: filters, prepared for this modality.
    directions: the run's record of directions, if it has one.
    """

    folder: RunFolder
    name: str
    model: Any
    modality: Any
    provenance: Mapping[str, Any]
    data: str | None = None
    judges: Sequence[filters.Filter] = ()
    directions: Path | None = None

    @cached_property
    def steering(self) -> Steering | None:
        """None for a run whose samples cannot be moved along directions."""
        if steerable(self.model):
            return None
        return Steering(self.model, attributes=recorded(self.directions, self.provenance["model"]))


@dataclass(frozen=True)
class Control:
    """One input of a tab.

    kind: "range" and "number" have low, high and step, "choice" has choices, "text" a text of at most `high` characters,
    "drawing" a list of shape[0] * shape[1] grey levels 0..255, "picture" a data: URL of at most `high` characters, "sliders" a
    number from low to high for some of its choices, by name. value: the default. off: whether null is a value too. named: its
    name in texts.json, if that is another one. example: of a value, for its hint.
    """

    name: str
    kind: str
    value: Any
    low: float = 0
    high: float = 0
    step: float = 1
    choices: tuple[str, ...] = ()
    shape: tuple[int, int] = (0, 0)
    off: bool = False
    named: str = ""
    example: str = ""

    def read(self, value: Any) -> Any:
        """A value that the browser sent; UserError if it is none of this control's."""
        if value is None and self.off:
            return None
        number = is_number(value)
        valid = {
            "range": lambda: number and self.low <= value <= self.high and (self.step % 1 != 0 or value % 1 == 0),
            "sliders": lambda: (
                isinstance(value, dict)
                and value.keys() <= {*self.choices}
                and all(is_number(part) and self.low <= part <= self.high for part in value.values())
            ),
            "number": lambda: number and self.low <= value <= self.high and value % 1 == 0,
            "choice": lambda: value in self.choices,
            "text": lambda: isinstance(value, str) and len(value) <= self.high,
            "picture": lambda: isinstance(value, str) and len(value) <= self.high,
            "drawing": lambda: is_drawing(value, self.shape[0] * self.shape[1]),
        }
        if not valid[self.kind]():
            raise UserError(f"{self.name}={str(value)[:40]} is not possible here: take another value")
        return int(value) if number and self.step % 1 == 0 else value


def is_drawing(value: Any, size: int) -> bool:
    return isinstance(value, list) and len(value) == size and all(type(level) is int and 0 <= level <= 255 for level in value)


@dataclass(frozen=True)
class Tab:
    """judged: whether its items are samples that people can keep or reject: their settings draw them again.

    words: further words for python -m src.generate to draw the same with these settings; None if it cannot.
    """

    controls: tuple[Control, ...]
    judged: bool = False
    words: tuple[str, ...] | None = ()

    @property
    def filtered(self) -> bool:
        """Whether filters judge what it shows, as in python -m src.generate: samples, and no pictures of several."""
        return self.words == ()

    def read(self, given: Any) -> dict[str, Any]:
        """The settings that the browser sent, checked, with the defaults of those that it left out."""
        if not isinstance(given, dict) or (unknown := given.keys() - {control.name for control in self.controls}):
            raise UserError(f"unknown settings: {', '.join(sorted(unknown)) if isinstance(given, dict) else 'no object'}")
        return {control.name: control.read(given.get(control.name, control.value)) for control in self.controls}

    def record(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Item:
    """One thing to show. settings: draw it again; None if it is no sample.

    kind: "image" (data is a data: URL), "text", "verse" (text, its lines separated by line ends) or "music" (see music.tune).
    """

    kind: str
    data: str
    settings: dict[str, Any] | None = None
    label: str = ""  # a name in texts.json


@dataclass(frozen=True)
class Output:
    """What a tab shows. kind: "grid" or "large" (all items), or "morph" (rows of `columns` items, a slider shows one each).

    left_out: number of samples that filters leave out; None without filters.
    """

    kind: str
    items: list[Item] = field(default_factory=list)
    columns: int = 0
    left_out: int | None = None


class Drawn(NamedTuple):
    """Finished samples with their seeds, and the provenance of all. left_out: see Output."""

    samples: Any
    seeds: Sequence[int]
    provenance: dict[str, Any]
    left_out: int | None = None


class Panel(Protocol):
    def supports(self, run: LoadedRun) -> bool:
        """Whether this panel is for the run's modality."""
        ...

    def tabs(self, run: LoadedRun, most: int) -> dict[str, Tab]:
        """What the run's capabilities allow, by name; each tab makes at most `most` samples at once."""
        ...

    def draw(self, run: LoadedRun, tab: str, settings: dict[str, Any]) -> Output: ...

    def save(self, run: LoadedRun, tab: str, settings: dict[str, Any], folder: Path) -> None:
        """Write what `draw` shows as files, with provenance."""
        ...

    def samples(self, run: LoadedRun, seeds: Sequence[int], settings: Mapping[str, Any]) -> Any:
        """Finished samples, one per seed, for the settings of a judged tab without n and seed."""
        ...

    def item(self, run: LoadedRun, sample: Any, settings: dict[str, Any] | None = None) -> Item:
        """A finished sample, or a real one of the data, without marks that tell one from the other."""
        ...


def panel_of(run: LoadedRun) -> Any:
    """The Panel of a run's modality; UserError if no file in this folder is for it."""
    names = sorted(module.name for module in pkgutil.iter_modules(src.page.panels.__path__) if module.name != "panel")
    panels = [importlib.import_module(f"src.page.panels.{name}") for name in names]
    for panel in panels:
        if panel.supports(run):
            return panel
    raise UserError(f"the page has no panel for {type(run.modality).__name__}: use python -m src.generate run={run.name}")


# For all panels


def count(most: int) -> Control:
    return Control("n", "range", min(16, most), low=1, high=most)


def seed() -> Control:
    return Control("seed", "number", 0, high=SEEDS)


def classes(run: LoadedRun, off: bool = True) -> tuple[Control, ...]:
    """The choice of a class, if the model has one. off: null gives each sample the class of its seed."""
    names = run.model.spec.classes
    if not (names and "y" in run.model.conditions([0])):
        return ()
    return (Control("class", "choice", None if off else names[0], choices=names, off=off),)


def sampling(run: LoadedRun, function: Callable[..., Any]) -> tuple[Control, ...]:
    """The settings that a method of the model takes and its network supports."""
    model, known = run.model, inspect.signature(function).parameters
    network: Any = model.generator_of() if hasattr(model, "generator_of") else model.network()
    psi = bool(getattr(network, "truncates", None))
    symbols = len(model.spec.x.names) or model.spec.x.levels or 256
    possible = {
        "truncation": Control("truncation", "range", None, low=0 if psi else 0.1, high=1 if psi else 2.5, step=0.1, off=True),
        "temperature": Control("temperature", "range", 1.0, low=0.1, high=2.0, step=0.1),
        "top_k": Control("top_k", "range", None, low=1, high=symbols, off=True),
        "top_p": Control("top_p", "range", None, low=0.05, high=1.0, step=0.05, off=True),
    }
    if "guidance" in known and model.classes and model.condition_dropout:
        possible["guidance"] = Control("guidance", "range", float(model.guidance), low=0, high=5, step=0.25)
    if "nfe" in known:
        possible["nfe"] = Control("nfe", "range", model.nfe, low=1, high=max(NFE, model.nfe))
        possible["solver"] = Control("solver", "choice", model.solver, choices=SOLVERS)
    if hasattr(network, "render"):
        side = model.spec.shape[-1]
        possible["side"] = Control("side", "range", None, low=8, high=4 * side, step=1, off=True)
    return tuple(control for name, control in possible.items() if name in known)


def given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that are null."""
    return {name: value for name, value in settings.items() if value is not None}


def arguments(run: LoadedRun, settings: Mapping[str, Any], n: int) -> dict[str, Any]:
    """The arguments of `sample` and its like for a tab's settings, without those of OTHERS."""
    how = {name: value for name, value in given(settings).items() if name not in OTHERS}
    if settings.get("prompt") is not None and prompts.reads_captions(run.model):
        return {**how, "cond": {"caption": prompts.caption_of(run.model, settings["prompt"]).expand(n, -1)}}
    if settings.get("layout") is not None:
        return {**how, "cond": {"layout": layouts.read(run.model, settings["layout"]).expand(n, -1, -1)}}
    return how if settings.get("class") is None else {**how, "cond": condition(run.model, settings["class"], n)}


def drawn(run: LoadedRun, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance of what these settings draw, as python -m src.generate writes it."""
    how = {name: value for name, value in given(settings).items() if name not in ("n", "seed")}
    return {**run.provenance, **({"first_seed": settings["seed"]} if "seed" in settings else {}), **how}


def shown(run: LoadedRun, settings: Mapping[str, Any]) -> Any:
    """The modality that shows texts in the script of the settings, or plays tunes in their tempo and key."""
    if isinstance(run.modality, Plays):
        return tunes.shown(run.modality, {name: settings.get(name) for name in ("tempo", "key", "class")})
    return run.modality.in_script(settings["script"]) if settings.get("script") else run.modality


def without_seed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that all samples of a request share."""
    return {name: value for name, value in given(settings).items() if name not in ("n", "seed")}


def let_through(run: LoadedRun, sample: Callable[..., Any], settings: Mapping[str, Any], seeds: Sequence[int] = ()) -> Drawn:
    """The samples of the settings' seeds that the filters do not leave out; UserError if none is left.

    sample: see Panel.samples. seeds: others than those of the settings.
    """
    seeds = seeds or range(settings["seed"], settings["seed"] + settings["n"])
    samples, provenance = sample(run, seeds, without_seed(settings)), drawn(run, settings)
    if not run.judges:
        return Drawn(samples, seeds, provenance)
    places, provenance["filter"] = filters.keep(run.judges, samples, seeds, shown(run, settings))
    return Drawn(samples[places], [seeds[place] for place in places], provenance, len(seeds) - len(places))
