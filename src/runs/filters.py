"""Which generated samples are left out: a list of words for texts, a CLIP run for pictures, or a filter of the user's own.

All are off by default. A filter judges finished samples before anything is written. What it leaves out is in no file; the JSON
files beside the samples say which filter it was, and which seeds are missing.
"""

import hashlib
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from src.config.build import instantiate
from src.config.errors import UserError
from src.data.encodings import decode
from src.data.scripts import IDEOGRAPHS, convert
from src.data.words import Words, words
from src.runs.folder import RunFolder

LETTER = rf"[^\W{IDEOGRAPHS}]"  # a letter or digit of a script that has spaces between its words
PORTION = 256  # pictures that are compared with the prompt at a time
SHOWN = 10  # seeds in a message
OFF: dict[str, Any] = {"filter": {"words": None, "clip": None, "prompt": None, "threshold": 0.3, "own": None}}


class Filter(Protocol):
    """Judges samples. One's own is `filter.own={_target_: ...}`."""

    def prepare(self, modality: Any) -> None:
        """Called once, before anything is drawn; UserError if the filter cannot judge what this modality shows."""
        ...

    def rejects(self, samples: Any, modality: Any) -> Sequence[bool]:
        """For each finished sample [N, *spec.shape] whether it is left out, by this sample alone."""
        ...

    def record(self) -> dict[str, Any]:
        """What the filter is, as plain JSON values, for the files beside the samples."""
        ...


class WordList:
    """Leaves out texts that contain a word of a file, one word or phrase in each line.

    Case, width and Chinese script of a text and of the list do not matter. A word that begins or ends with a letter or digit of
    a script with spaces must begin or end there in the text too; Chinese characters are found anywhere.
    """

    def __init__(self, path: str) -> None:
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise UserError(f"filter.words={path}: cannot read it ({error.strerror}): name a file of words") from error
        found = list(dict.fromkeys(filter(None, map(folded, decode(data, Path(path)).splitlines()))))
        if not found:
            raise UserError(f"filter.words={path}: there is no word in it: write one in each line, or leave it out")
        self.pattern = re.compile("|".join(map(bounded, found)))
        self._record = {"words": Path(path).name, "sha256": hashlib.sha256(data).hexdigest(), "count": len(found)}

    def prepare(self, modality: Any) -> None:
        from src.modalities.modality import ReadsText

        if not isinstance(modality, ReadsText):
            raise UserError("filter.words= judges texts, and this model draws none: leave it out")

    def rejects(self, samples: Any, modality: Any) -> list[bool]:
        return [self.pattern.search(folded(modality.text(sample))) is not None for sample in samples]

    def record(self) -> dict[str, Any]:
        return self._record


def folded(text: str) -> str:
    """A text as it is compared: NFKC, without case, in simplified characters, with single spaces."""
    return convert(" ".join(unicodedata.normalize("NFKC", text).casefold().split()), "simplified")


def bounded(word: str) -> str:
    """The regular expression of a folded word."""
    before = f"(?<!{LETTER})" if re.match(LETTER, word[0]) else ""
    after = f"(?!{LETTER})" if re.match(LETTER, word[-1]) else ""
    return before + re.escape(word) + after


class ClipFilter:
    """Leaves out pictures that a run of model=clip finds similar to a text: cosine of their embeddings above a threshold.

    run: its folder. Pictures are resized to the size that its model reads.
    """

    def __init__(self, run: str, prompt: str, threshold: float) -> None:
        self.run, self.prompt, self.threshold = RunFolder.existing(run), prompt, threshold
        self.run.weights()  # UserError if there are none

    def prepare(self, modality: Any) -> None:
        import torch

        from src.data.vocabulary import UNKNOWN
        from src.models.capabilities import EmbedsFields
        from src.runs.load import load_run
        from src.runs.sampling import provenance_of

        if modality.spec.kind != "image":
            raise UserError("filter.clip= judges pictures, and this model draws none: leave it out")
        self.model: Any = load_run(self.run.path)
        compares = isinstance(self.model, EmbedsFields) and "x" in self.model.fields
        if not compares:
            raise UserError(f"filter.clip={self.run.path} does not compare pictures with words: name a run of model=clip")
        fields = self.model.spec.fields
        text = next((name for name in self.model.fields if name != "x" and UNKNOWN in fields[name].names), None)
        if text is None:
            raise UserError(f"filter.clip={self.run.path} reads no words: name a run of model=clip, on data=emoji_captions")
        channels = self.model.spec.shape[0]
        if modality.spec.shape[0] not in (1, channels):
            raise UserError(f"filter.clip={self.run.path} reads grey pictures: name a run on pictures in colour")
        vocabulary = Words(fields[text].names, fields[text].shape[0])
        unknown = vocabulary.unknown(self.prompt)
        if len(unknown) == len({*words(self.prompt)}):
            raise UserError(f"filter.prompt={self.prompt}: the run of filter.clip= knows no word of it: take others")
        if unknown:
            print(f"filter.prompt: the run of filter.clip= does not know: {' '.join(unknown)}", file=sys.stderr)
        tokens = torch.from_numpy(vocabulary.encode(self.prompt))[None]  # [1, length]
        self.embedding = self.model.embed_field(text, tokens)[0]  # [P]
        self.network = provenance_of(self.run, self.model)["model"]

    def rejects(self, samples: Any, modality: Any) -> list[bool]:
        return (self.similarities(samples) > self.threshold).tolist()

    def similarities(self, samples: Any) -> Any:
        """Cosines [N], -1 to 1, of uint8 pictures [N, C, H, W] with the prompt."""
        import torch
        from torch.nn.functional import interpolate

        channels, *size = self.model.spec.shape
        found = []
        for part in samples.split(PORTION):
            x = self.model.spec.to_model({"x": part.cpu()}, self.model.dtype)["x"]
            x = interpolate(x.expand(-1, channels, -1, -1), size, mode="bilinear", antialias=True)  # [n, channels, *size]
            found.append(self.model.embed_field("x", x) @ self.embedding)
        return torch.cat(found)

    def record(self) -> dict[str, Any]:
        clip = f"{self.run.path.parent.name}/{self.run.path.name}"
        return {"clip": clip, "network": self.network, "prompt": self.prompt, "threshold": self.threshold}


def given(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of filters that the user has set, by their full keys."""
    own = {key: value for key, value in config["filter"].items() if key != "threshold"}
    return {f"filter.{key}": value for key, value in own.items() if value is not None}


def asked(config: Mapping[str, Any]) -> list[Filter]:
    """The filters that the settings ask for, usually none; UserError for a file or run that is missing."""
    settings, found = config["filter"], list[Filter]()
    if (settings["clip"] is None) != (settings["prompt"] is None):
        given, missing = ("clip", "prompt") if settings["prompt"] is None else ("prompt", "clip")
        raise UserError(f"filter.{given}= needs filter.{missing}=, a run of model=clip and the words for it: give both")
    if settings["words"] is not None:
        found.append(WordList(settings["words"]))
    if settings["clip"] is not None:
        found.append(ClipFilter(settings["clip"], settings["prompt"], settings["threshold"]))
    if settings["own"] is not None:
        own = instantiate(settings["own"], "filter.own")
        if not all(hasattr(own, name) for name in ("prepare", "rejects", "record")):
            raise UserError("filter.own: must be settings with a _target_, a class with prepare, rejects and record")
        found.append(own)
    return found


def keep(
    filters: Sequence[Filter], samples: Any, seeds: Sequence[int], modality: Any
) -> tuple[list[int], list[dict[str, Any]]]:
    """The places of the samples that stay, and each filter's record with the seeds that it leaves out ("left_out").

    Each filter judges all samples. It is said on stderr what is left out; UserError if nothing stays.
    """
    out, records = set[int](), []
    for one in filters:
        places = [place for place, rejected in zip(range(len(seeds)), one.rejects(samples, modality), strict=True) if rejected]
        records.append({**one.record(), "left_out": [seeds[place] for place in places]})
        out.update(places)
    if len(out) == len(seeds):
        raise UserError(f"the filter leaves out all of {len(seeds)} samples, nothing is written: take another seed= or n=")
    if out:
        missing = [str(seeds[place]) for place in sorted(out)]
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        shown = f"{', '.join(missing[:SHOWN])}{more}"
        print(f"filter: {len(out)} of {len(seeds)} samples left out, of the seeds {shown}", file=sys.stderr)
    return [place for place in range(len(seeds)) if place not in out], records
