"""What a person types in words: how texts begin, what they answer, their form and script; and what pictures show."""

import difflib
import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from src.config.errors import UserError
from src.data.encodings import decode

KEYS = "prompt", "source", "heads", "form", "rhyme", "script"
READ = "prompt", "source", "heads"  # keys whose values are texts of a person, in any script
SHOWN, CHOICES = 40, 5  # characters of a text, and characters with several forms, in a message
SIMILAR, ALIKE = 3, 0.6  # words that are proposed for an unknown one, and how alike they must be (difflib's ratio)


class Typed(NamedTuple):
    """sample: function of (seeds, cond, ...) that draws samples. modality: shows them. source: see `source_condition`.

    record: what was typed, what it was read as if that differs, and the forms that the samples are forced to keep; JSON.
    caption: what pictures show, tokens int64 [T]; None if nothing was typed.
    """

    sample: Callable[..., Any]
    modality: Any
    source: str | None
    record: dict[str, Any]
    caption: Any = None


def given(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of KEYS that the user has set."""
    return {key: config[key] for key in KEYS if config.get(key) not in (None, False)}


def typed(model: Any, modality: Any, config: Mapping[str, Any]) -> Typed:
    """The settings of KEYS for a model; UserError for what it cannot do, and for characters that its vocabulary lacks."""
    from src.modalities.modality import ReadsText
    from src.models.capabilities import Continues
    from src.models.constraints import constraints_of

    record = given(config)
    if "prompt" in record and reads_captions(model):
        if others := [key for key in record if key != "prompt"]:
            raise UserError(f"this model knows no {others[0]}=, which is for text: leave it out")
        return Typed(model.sample, modality, None, record, caption_of(model, record["prompt"]))
    for key in record:
        if key != "source" and not (isinstance(modality, ReadsText) and (key == "script" or isinstance(model, Continues))):
            raise UserError(f"this model knows no {key}=, which is for text: leave it out")
    texts = {key: read_as(modality, key, record[key]) for key in READ if key in record}
    constraints = constraints_of(model.spec, texts.get("heads"), record.get("form"), record.get("rhyme", False))
    sample = model.sample
    if "prompt" in texts:
        sample = functools.partial(model.continue_from, modality.encode(texts["prompt"], "prompt"))
    if constraints:
        sample = functools.partial(sample, constraints=constraints)
        record["forced"] = [constraint.name for constraint in constraints]
    record |= {f"{key}_read_as": text for key, text in texts.items() if text != record[key]}
    if "script" in record:
        modality = modality.in_script(record["script"])
    return Typed(sample, modality, texts.get("source"), record)


def reads_captions(model: Any) -> bool:
    """Whether a model draws pictures of captions."""
    return "caption" in model.conditions([0])


def caption_of(model: Any, text: str) -> Any:
    """A prompt as a caption, tokens int64 [T]; UserError for words that the training captions lack, and for too many words."""
    import torch

    from src.data.words import Words, words

    field = model.spec.fields["caption"]
    vocabulary = Words(field.names, field.shape[0])
    if not words(text):
        raise UserError("prompt: it has no word: say what the pictures show")
    if unknown := vocabulary.unknown(text):
        found = {word: difflib.get_close_matches(word, field.names, SIMILAR, ALIKE) for word in unknown}
        said = [word + (f" (did you mean {' or '.join(close)}?)" if close else "") for word, close in found.items()]
        raise UserError(f"prompt: not among the words of the training captions: {', '.join(said)}: say it in other words")
    if (count := len(words(text))) > vocabulary.length:
        raise UserError(f"prompt: it has {count} words, and this model reads {vocabulary.length}: shorten it")
    return torch.from_numpy(vocabulary.encode(text))


def captions_record(model: Any, cond: Any) -> dict[str, Any]:
    """{"captions": the texts of the captions of `cond`}, for the record of samples; empty for models that read none."""
    if not reads_captions(model):
        return {}
    from src.data.words import Words

    field = model.spec.fields["caption"]
    vocabulary = Words(field.names, field.shape[0])
    return {"captions": [vocabulary.decode(tokens) for tokens in cond["caption"].tolist()]}


def read_as(modality: Any, key: str, text: str) -> str:
    """A typed text in the script of the data; it is said on stderr what was converted, and where there is a choice."""
    from src.modalities.modality import ReadsText

    if not isinstance(modality, ReadsText):
        return text
    reading = modality.read(text)
    shown = reading.text if len(reading.text) <= SHOWN else f"{reading.text[:SHOWN]}..."
    said = [f"read as {shown}, in the script of the data"] if reading.text != text else []
    choices = [f"{character} may be {' or '.join(forms)}: type what you mean" for character, forms in reading.choices.items()]
    said += choices[:CHOICES] + ([f"so may {len(choices) - CHOICES} more characters"] if len(choices) > CHOICES else [])
    if said:
        print(f"{key}: {'; '.join(said)}", file=sys.stderr)
    return reading.text


def source_condition(model: Any, modality: Any, text: str, n: int) -> Any:
    """The conditions of n samples from a text, {"source": [n, S], "source_length": [n]}; UserError if it cannot be read.

    It is said on stderr which characters are not in the vocabulary.
    """
    if "source" not in model.conditions([0]):
        raise UserError("this model reads no source: leave source= out, or say prompt=, how the samples begin")
    given = modality.encode_source(text)
    if unknown := modality.vocabulary.unknown(text):
        print(f"source: not in the vocabulary of the data, read as unknown: {' '.join(unknown)}", file=sys.stderr)
    return {name: part.expand(n, *part.shape[1:]) for name, part in given.items()}


def source_text(value: str | None) -> str | None:
    """The text that source= says, or that the .txt or .md file has which it names."""
    return None if value is None else text_of("source", value)


def text_of(key: str, value: str, suffixes: tuple[str, ...] = (".txt", ".md")) -> str:
    """The text that a setting says, or that the file has which it names."""
    if not value.endswith(suffixes):
        return value
    try:
        return decode(Path(value).read_bytes(), Path(value)).strip()
    except OSError as error:
        raise UserError(f"{key}={value}: cannot read it ({error.strerror}): name a file, or write the text itself") from error
