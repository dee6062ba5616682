"""Text: all samples in one readable file.

Samples are tokens [N, T], whole numbers; the names of the field `x` are the vocabulary, characters or longer pieces of text.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from src.config.errors import UserError
from src.data.scripts import Reading, convert, read
from src.data.spec import Batch, Spec
from src.data.tokenizer import FILE, BytePairs
from src.data.vocabulary import Vocabulary
from src.modalities.sidecars import begin_samples, earlier_files, end_samples, marks_of, write_archive, write_marked
from src.system.files import write_atomic

PREVIEW = 16  # samples


class Text:
    """Data whose `x` is tokens (T,) with a vocabulary. Samples may be longer or shorter than T."""

    suffix = ".txt"

    def __init__(self, spec: Spec) -> None:
        if spec.kind != "tokens" or len(spec.shape) != 1 or not spec.x.names:
            found = f"{spec.kind} {list(spec.shape)} with {len(spec.x.names)} names"
            raise UserError(f"text is tokens [T] with their vocabulary, not {found}: choose another modality for this data")
        self.spec, self.vocabulary = spec, Vocabulary(spec.x.names)
        self.script: str | None = None  # of what is shown; None: as in the data
        self.tokenizer: BytePairs | None = None  # of pieces of words

    def restore(self, files: Mapping[str, bytes]) -> None:
        """Take the tokenizer that a run keeps, see src.data.dataset.Learns; UserError if it is another model's."""
        if FILE in files:
            self.tokenizer = BytePairs.load(files[FILE])
            if self.tokenizer.names != self.spec.x.names:
                raise UserError(f"{FILE} has another vocabulary than the run's data: restore an intact copy of the run folder")

    def in_script(self, script: str) -> Self:
        """The same, but texts are shown in a script, "simplified" or "traditional"."""
        found = copy.copy(self)
        found.script = script
        return found

    def finish(self, x: Tensor) -> Tensor:
        """The tokens as they are, int64, on the CPU."""
        return x.cpu().long()

    def text(self, tokens: Tensor) -> str:
        """One sample [T] as a string: up to END, without PAD; ValueError for tokens outside the vocabulary."""
        text = self.vocabulary.decode(tokens.tolist())
        return convert(text, self.script) if self.script else text

    def read(self, text: str) -> Reading:
        """A text that a user types, in the script of the data."""
        return read(text, frozenset(self.vocabulary.names))

    def encode(self, text: str, key: str) -> Tensor:
        """A text as tokens [P]; UserError, which names the setting `key`, for characters that are not in the vocabulary."""
        if self.vocabulary.has_bytes:
            if self.tokenizer is None:
                raise UserError(f"{key}: the run folder has no {FILE}, which makes symbols of text: restore it")
            return torch.from_numpy(self.tokenizer.encode(text))
        if unknown := self.vocabulary.unknown(text):
            raise UserError(f"{key}: the vocabulary of the data has no {', '.join(map(repr, unknown))}: write it without")
        return torch.from_numpy(self.vocabulary.encode(text))

    def encode_source(self, text: str) -> Batch:
        """A text as the conditions of one sample, {"source": [1, S], "source_length": [1]}; UserError if it is too long.

        Characters that are not in the vocabulary become UNKNOWN.
        """
        width = self.spec.fields["source"].shape[0]
        if len(text) >= width:
            raise UserError(f"the source has {len(text):,} characters and this model reads {width - 1:,}: shorten it")
        tokens, length = self.vocabulary.encode_padded([text], width)
        return {"source": torch.from_numpy(tokens), "source_length": torch.from_numpy(length)}

    def save(
        self,
        samples: Iterable[Tensor],
        folder: str | Path,
        seeds: Sequence[int],
        provenance: Mapping[str, Any],
        sources: Tensor | None = None,
    ) -> None:
        """`samples.txt` with all samples, each below a line with its seed, and `samples.json` with the exact texts.

        Bytes of characters that have not been finished are shown as U+FFFD, and counted in the provenance.
        samples: consecutive portions [n, T]; T may differ. sources: what each sample was generated from, [N, S].
        """
        folder, name = Path(folder), "samples.txt"
        earlier = earlier_files(folder, [name])
        texts, unfinished = list[str](), 0
        for portion in samples:
            texts += self._texts(portion)
            unfinished += self._unfinished(portion)
        provenance = {**provenance, **({"unfinished_characters": unfinished} if unfinished else {})}
        if len(seeds) != len(texts):
            raise ValueError(f"{len(texts)} samples, but {len(seeds)} seeds")
        listed: list[dict[str, Any]] = [{"seed": seed, "text": text} for seed, text in zip(seeds, texts, strict=True)]
        if sources is not None:
            listed = [{**sample, "source": self.text(source)} for sample, source in zip(listed, sources, strict=True)]
        begin_samples(folder, earlier, {**marks_of(provenance), "provenance": provenance, "samples": listed})
        write_atomic(folder / name, self._page("seed", seeds, texts, sources))
        end_samples(folder)

    def save_archive(self, samples: Tensor, path: str | Path, seeds: Sequence[int], provenance: Mapping[str, Any]) -> None:
        """All samples in one NumPy archive: `tokens` is int64 [N, T], `seeds` int64 [N]."""
        write_archive(path, seeds, provenance, tokens=_tokens(samples).numpy())

    def preview(
        self,
        samples: Tensor,
        path: str | Path,
        provenance: Mapping[str, Any] | None = None,
        sources: Tensor | None = None,
    ) -> None:
        """The first `PREVIEW` samples, numbered from 1; sources: see `save`."""
        texts = list(self._texts(samples[:PREVIEW]))
        if provenance and (unfinished := self._unfinished(samples[:PREVIEW])):
            provenance = {**provenance, "unfinished_characters": unfinished}
        data = self._page("sample", range(1, len(texts) + 1), texts, None if sources is None else sources[:PREVIEW])
        write_marked(path, lambda _: data, provenance)

    def strip(self, samples: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
        """Rows of texts [R, T, L], from one latent to another or beside each other, one below the other in one file."""
        rows, steps = samples.shape[:2]
        titles = [f"row {row}, {step} of {steps}" for row in range(1, rows + 1) for step in range(1, steps + 1)]
        data = _with_headings(titles, list(self._texts(samples.flatten(0, 1))))
        write_marked(path, lambda _: data, provenance)

    def _page(self, word: str, numbers: Sequence[int], texts: Sequence[str], sources: Tensor | None) -> bytes:
        """Texts below headings such as "--- seed 3 ---", each after its source, if it has one."""
        titles = [f"{word} {number}" for number in numbers]
        if sources is None:
            return _with_headings(titles, texts)
        titles = [part for title in titles for part in (f"{title}: source", title)]
        return _with_headings(titles, [part for pair in zip(map(self.text, sources), texts, strict=True) for part in pair])

    def _texts(self, samples: Tensor) -> Iterator[str]:
        return map(self.text, _tokens(samples))

    def _unfinished(self, samples: Tensor) -> int:
        return sum(map(self.vocabulary.unfinished, _tokens(samples).tolist())) if self.vocabulary.has_bytes else 0


def _tokens(samples: Tensor) -> Tensor:
    """int64 [N, T] on the CPU."""
    if samples.ndim != 2 or samples.is_floating_point():
        kind = str(samples.dtype).removeprefix("torch.")
        raise UserError(f"text is whole numbers [N, T], not {kind} {list(samples.shape)}: choose data of text for this model")
    if not len(samples):
        raise UserError("there is no text to show: ask for one sample or more")
    return samples.detach().cpu().long()


def _with_headings(titles: Sequence[str], texts: Sequence[str]) -> bytes:
    """Texts below headings such as "--- seed 3 ---", with more dashes than any text has in a row."""
    dashes = "---"
    while any(dashes in text for text in texts):
        dashes += "-"
    return "\n".join(f"{dashes} {title} {dashes}\n{text}\n" for title, text in zip(titles, texts, strict=True)).encode()
