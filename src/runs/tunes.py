"""What a person types for a model of music: tempo, key, length, words, and music to continue, harmonise or go between."""

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from src.config.errors import UserError
from src.data.music.keys import Key
from src.data.music.notes import HOLD, REST, bar_steps
from src.data.vocabulary import END
from src.modalities.music.lyrics import Line, read_lyrics
from src.modalities.music.synth import check_fluidsynth
from src.modalities.music.tune import A_MINOR, C_MAJOR
from src.runs import prompts
from src.runs.prompts import Typed
from src.runs.sampling import condition

KEYS = "tempo", "key", "bars", "synth", "melody", "from", "to", "lyrics", "attribute", "strength", "parallels"
SHOWN = "tempo", "key", "synth"  # how tunes are shown and played; arrays of symbols have no place for them
FILES = "melody", "from", "to"
ENDINGS = ".mid", ".midi"
SEEN = 2000  # training pieces that an attribute vector is computed from


def given(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of KEYS that the user has set."""
    return {key: config[key] for key in KEYS if config.get(key) not in (None, "own") and config[key] is not True}


def check(config: Mapping[str, Any], picture: str) -> None:
    """Raise UserError for settings of KEYS that are wrong, or do not fit together; before torch is imported.

    picture: see `src.runs.outputs.picture_asked`.
    """
    found = given(config)
    if "key" in found:
        Key.of(str(found["key"]))
    if found.get("synth") == "fluidsynth":
        check_fluidsynth()
    if "lyrics" in found:
        read_lyrics(lyrics_text(found["lyrics"]))
    for key in (key for key in FILES if key in found):
        check_file(key, found[key])
    ends = [key for key in ("from", "to") if key in found]
    check_attribute(found, config, picture)
    if "attribute" in found:
        ends = []
    if len(ends) == 1:
        raise UserError(f"{ends[0]}= is one end of an interpolation: give from= and to=")
    if ends and picture != "interpolate":
        raise UserError("from= and to= are the ends of an interpolation: add interpolate=8, the number of its steps")
    if ends and config["n"] is not None:
        raise UserError("from= and to= have one row between them: leave n= out")
    for key in ("bars", "melody", "lyrics", "parallels"):
        if picture and key in found:
            raise UserError(f"{key}= is for samples and {picture}= makes a picture: leave one of them out")
    for one, other in (("melody", "bars"), ("melody", "lyrics"), ("lyrics", "bars")):
        if one in found and other in found:
            raise UserError(f"{one}= says how long the tunes are, or what they sing: leave {other}= out")
    for key in ("melody", "lyrics"):
        if key in found and config.get("prompt") is not None:
            raise UserError(f"{key}= and prompt= both say how the tunes begin: leave one of them out")
    if config["format"] == "npz" and (shown := [key for key in SHOWN if key in found]):
        raise UserError(f"{shown[0]}= is for what people hear, and format=npz holds symbols: leave one of them out")


def check_attribute(found: Mapping[str, Any], config: Mapping[str, Any], picture: str) -> None:
    """Raise UserError for settings that do not fit attribute= and strength=."""
    if "attribute" not in found:
        if "strength" in found:
            raise UserError("strength= says how much of an attribute: add attribute=, or leave strength= out")
        return
    others = [picture] if picture else [key for key in ("to", "melody", "lyrics") if key in found]
    others += ["prompt"] if config.get("prompt") is not None else []
    if others:
        raise UserError(f"attribute= changes samples, or the tune of from=: leave {others[0]}= out")
    if "from" in found and config["n"] is not None:
        raise UserError("from= and attribute= make one tune: leave n= out")


def check_file(key: str, value: str) -> None:
    if not value.lower().endswith(ENDINGS) or not Path(value).is_file():
        wrong = "there is no such file" if value.lower().endswith(ENDINGS) else "this is no MIDI file, by its name"
        raise UserError(f"{key}={value}: {wrong}: name a .mid file")


def lyrics_text(value: str) -> str:
    """The words that lyrics= says, or that the .txt or .md file has which it names."""
    return prompts.text_of("lyrics", value)


def typed(model: Any, modality: Any, config: Mapping[str, Any], training: Callable[[], Any] | None = None) -> Typed:
    """The settings for a model, of KEYS and of `prompts.KEYS`; UserError for what it cannot do or the files do not allow.

    training: loads the training split of the model's data, which attribute= needs.
    """
    from src.modalities.modality import Plays

    record = given(config)
    if not isinstance(modality, Plays):
        if record:
            raise UserError(f"this model knows no {next(iter(record))}=, which is for music: leave it out")
        return prompts.typed(model, modality, config)
    if others := [key for key in prompts.given(config) if key != "prompt"]:
        raise UserError(f"this model knows no {others[0]}=, which is for text: leave it out")
    shown, sample, how = settings_of(config), model.sample, Asked(model, modality, config)
    if config.get("prompt") is not None:
        from src.models.capabilities import Continues

        if not isinstance(model, Continues):
            raise UserError("this model continues no music: leave prompt= out")
        check_file("prompt", config["prompt"])
        found = how.read("prompt", config["prompt"], record)
        sample, shown["shift"] = functools.partial(model.continue_from, tensor(found.symbols)), -found.shift
        record["prompt"] = config["prompt"]
    if "attribute" in record:
        assert training
        z, record["strength"] = how.attribute(training), record.get("strength", 1.0)
        given_tune = None
        if "from" in record:
            found = how.read("from", record["from"], record)
            given_tune = how.modality.fitted(found.symbols, f"from={record['from']}")
            shown |= {"shift": -found.shift, "tempo": shown.get("tempo", found.tempo)}
        sample = functools.partial(how.changed, given_tune, record["strength"] * z)
    if "melody" in record:
        found = how.read("melody", record["melody"], record, voices=1)
        shown |= {"metre": found.metre, "shift": -found.shift, "tempo": shown.get("tempo", found.tempo), "known_key": found.key}
        sample = functools.partial(how.harmonise, found.symbols[:, 0], bar_steps(found.metre))
    if "parallels" in record:
        from src.models.voice_leading import NoParallels

        sample = how.constrained(sample, NoParallels(model.spec), "parallels", record)
    if "bars" in record:
        sample = how.of_bars(sample, record["bars"], record)
    if "lyrics" in record:
        lines = read_lyrics(lyrics_text(record["lyrics"]))
        sample, shown["words"] = how.sung(sample, lines, record), [syllable for line in lines for syllable in line]
    return Typed(sample, modality.with_settings(**shown), None, record)


def between(model: Any, modality: Any, config: Mapping[str, Any]) -> tuple[Any, Any]:
    """(samples [1, steps, T, V] from the tune from= to the tune to=, the modality that shows them)."""
    shown(modality, config)
    if not hasattr(model, "interpolate_between"):
        raise UserError("this model has no latents between two given tunes: take model=music_vae, or leave from= and to= out")
    how = Asked(model, modality, config)
    ends = [how.read(key, config[key], {}) for key in ("from", "to")]
    fitted = [modality.fitted(end.symbols, f"{key}={config[key]}") for key, end in zip(("from", "to"), ends, strict=True)]
    samples = modality.finish(model.interpolate_between(*fitted, config["interpolate"]))
    return samples.reshape(1, -1, *samples.shape[-2:]), shown(modality, config)


def shown(modality: Any, config: Mapping[str, Any]) -> Any:
    """The modality that shows tunes as the settings SHOWN say, in the metre of class=; UserError for other modalities."""
    from src.modalities.modality import Plays

    if not isinstance(modality, Plays) and (found := given(config)):
        raise UserError(f"this model knows no {next(iter(found))}=, which is for music: leave it out")
    if not isinstance(modality, Plays):
        return modality
    return modality.with_settings(metre=metre_of(modality, config.get("class")), **settings_of(config))


def metre_of(modality: Any, name: Any) -> str:
    """The metre of samples of a class, by its name or number; the modality's own for None."""
    classes = modality.spec.classes
    return modality.metre_of(name if name is None else classes.index(str(name)) if str(name) in classes else int(name))


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `Music.with_settings` for the settings SHOWN."""
    found = {key: value for key, value in given(config).items() if key in SHOWN}
    return found | ({"key": Key.of(str(found["key"]))} if "key" in found else {})


def tensor(array: Any) -> Any:
    import torch

    return torch.from_numpy(array)


class Asked:
    """What is asked of a model of music, for the settings of one command."""

    def __init__(self, model: Any, modality: Any, config: Mapping[str, Any]) -> None:
        self.model, self.modality, self.config = model, modality, config
        self.steps, self.spec = modality.steps, model.spec

    def read(self, key: str, path: str, record: dict[str, Any], voices: int | None = None) -> Any:
        """A file of the user's; what was left out of it is said on stderr and recorded."""
        found = self.modality.read(path, key, voices)
        if found.left_out:
            words = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found.left_out.items())
            print(f"{key}: left out or changed: {words}", file=sys.stderr)
            record[f"{key}_left_out"] = dict(found.left_out)
        return found

    def metre(self, key: str) -> str:
        """The metre of the samples; UserError if it depends on classes and the user has named none."""
        metres = {self.modality.metre_of(number) for number in range(len(self.spec.classes))} or {self.modality.metre}
        if len(metres) > 1 and self.config["class"] is None:
            raise UserError(f"{key}= counts bars, and the metre of this model's tunes is that of their class: add class=")
        condition(self.model, self.config["class"], 1)  # UserError for an unknown class
        return metre_of(self.modality, self.config["class"])

    def harmonise(
        self, melody: Any, bar: int, seeds: Any, cond: Any = None, constraints: Sequence[Any] = (), **settings: Any
    ) -> Any:
        """Samples [N, P, V] whose first voice is a melody [P] of any length, harmonised window by window from bar to bar."""
        import torch

        names, steps = list(self.modality.symbols.names), self.steps
        if "melody" not in self.spec.fields:
            raise UserError("this model harmonises no melody: take one of data=chorales, or leave melody= out")
        hold, rest = names.index(HOLD), names.index(REST)
        bars = -(-len(melody) // bar)
        whole = torch.full((bars * bar + steps,), hold)
        whole[: len(melody)] = tensor(melody)
        whole[len(melody)] = rest
        parts, width = [], max(bar, steps // bar * bar)
        for start in range(0, bars * bar, width):
            window = whole[start : start + steps].clone()
            if window[0] == hold:  # what sounds on from the window before begins again
                before = whole[:start]
                window[0] = before[before != hold][-1]
            asked = {**(cond or {}), "melody": window.expand(len(seeds), steps)}
            parts.append(self.modality.finish(self.model.sample(seeds, asked, constraints=constraints, **settings))[:, :width])
        found = torch.cat(parts, dim=1)[:, : bars * bar].clone()
        found[:, :, 0] = whole[: bars * bar]
        return found

    def attribute(self, training: Callable[[], Any]) -> Any:
        """The vector [z_dim] of attribute=, from SEEN pieces of the training split."""
        import numpy as np

        from src.data.music.attributes import attribute, check_attribute

        if not hasattr(self.model, "attribute_vector"):
            raise UserError("this model has no attribute vectors: take model=music_vae, or leave attribute= out")
        check_attribute(name := self.config["attribute"], self.spec.classes)
        split, names = training(), self.modality.symbols.names
        batch = split.batch(np.unique(np.linspace(0, len(split) - 1, SEEN).astype(np.int64)))
        has, lacks = attribute(name, batch["x"], names, batch.get("y"), self.spec.classes)
        return self.model.attribute_vector(tensor(batch["x"]), tensor(has), tensor(lacks), self.config["weights"])

    def changed(self, tune: Any, vector: Any, seeds: Any, cond: Any = None, **settings: Any) -> Any:
        """Samples of the seeds' latents, or of the latent of a tune [T, V], to which a vector [z_dim] is added.

        Of a tune, the most probable symbols are taken where the settings do not say how to draw them.
        """
        z = self.model.conditions(seeds)["z"]
        if tune is not None:
            z = self.model.latents(tune[None], settings["weights"]).expand(len(seeds), -1)
            settings = settings if settings.keys() & {"temperature", "top_k", "top_p"} else {**settings, "top_k": 1}
        return self.model.sample(seeds, {**(cond or {}), "z": z + vector}, **settings)

    def of_bars(self, sample: Callable[..., Any], bars: int, record: dict[str, Any]) -> Callable[..., Any]:
        """`sample` for tunes of so many bars: they end there, or are cut there if the data's have one length."""
        steps = bars * bar_steps(self.metre("bars"))
        ends = END in self.modality.symbols.names
        if steps > self.steps - ends:
            most = (self.steps - ends) // bar_steps(self.metre("bars"))
            raise UserError(f"bars={bars}: this model's tunes have {most} at most: ask for fewer")
        if not ends:
            return self.cut(sample, steps)
        from src.models.tune_length import Length

        return self.constrained(sample, Length(steps, self.spec), "bars", record)

    def cut(self, sample: Callable[..., Any], steps: int) -> Callable[..., Any]:
        """`sample`, of whose tunes the first steps are kept."""
        return lambda *row, **settings: self.modality.finish(sample(*row, **settings))[:, :steps]

    def sung(self, sample: Callable[..., Any], lines: list[Line], record: dict[str, Any]) -> Callable[..., Any]:
        """`sample` for tunes with a note for each syllable, and a phrase for each line."""
        from src.models.tune_constraints import syllables

        metre, classes, asked = self.metre("lyrics"), self.spec.classes, condition(self.model, self.config["class"], 1)
        minor = asked is not None and classes[int(asked["y"])].endswith("minor")
        rule = syllables([*map(len, lines)], self.spec, metre, A_MINOR if minor else C_MAJOR)
        draw = self.constrained(sample, rule, "lyrics", record)
        return draw if END in self.modality.symbols.names else self.cut(draw, sum(rule.sizes))

    def constrained(self, sample: Callable[..., Any], rule: Any, key: str, record: dict[str, Any]) -> Callable[..., Any]:
        function = getattr(sample, "func", sample)
        if "constraints" not in inspect.signature(function).parameters:
            raise UserError(f"{key}= needs a model that draws note by note: take model=gpt, or leave it out")
        record.setdefault("forced", []).append(rule.name)
        earlier = getattr(sample, "keywords", {}).get("constraints", [])
        return functools.partial(sample, constraints=[*earlier, rule])
