"""Train the encoders whose features the distances of poems and of tunes use; the command is src/tools/encoder.py.

Which line follows? The true one stands among the lines of other poems, the other lines of its own, and spoiled versions of
itself. To find it, the network must know the subject and the course of a poem, its rhymes, and which characters make a line.
Tunes are treated alike: two bars of a voice are a poem of LINES half bars, whose symbols are steps.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.torch
import torch
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from torch import Tensor, nn
from torch.nn import functional as F

from src.data.music.notes import Symbols, bar_steps
from src.data.music.pieces import Piece
from src.evaluation.extractors.quatrains import CODES, Alphabet, lines_of
from src.evaluation.extractors.tunes import tokens
from src.evaluation.metrics.music.pieces import Pieces
from src.networks.parts_encoder import FIRST, PartsEncoder
from src.system.files import write_atomic
from src.training import rng

LINES = 4
BAR_STEPS = 12, 16  # of tunes
WINDOW = 2  # characters whose pairs make the first embeddings


class Spoiled(NamedTuple):
    """Versions of lines that are no lines.

    symbols: all characters of the poems, sorted by the one before them, [M]. first: the place of each character's first
    successor, [V + 1].
    """

    symbols: Tensor
    first: Tensor

    @classmethod
    def of(cls, poems: Sequence[Tensor], size: int) -> "Spoiled":
        before = torch.cat([x[..., :-1].flatten() for x in poems])
        after = torch.cat([x[..., 1:].flatten() for x in poems])
        return cls(after[before.argsort(stable=True)], F.pad(torch.bincount(before, minlength=size).cumsum(0), (1, 0)))

    def __call__(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Three versions of lines [N, C], [3 N, C], and their lengths: a character replaced by another that follows the one
        before it elsewhere; two characters exchanged; the last character but one left out.
        """
        rows, length = torch.arange(len(x)), x.shape[1]
        a, b = torch.rand(len(x), length, generator=generator).argsort(dim=1)[:, :2].unbind(1)  # two places
        replaced, exchanged = x.clone(), x.clone()
        exchanged[rows, a], exchanged[rows, b] = x[rows, b], x[rows, a]
        place = a.clamp(min=1)
        before = x[rows, place - 1]
        begin, count = self.first[before], self.first[before + 1] - self.first[before]
        chosen = begin + (torch.rand(len(x), generator=generator) * count).long()
        replaced[rows, place] = self.symbols[chosen.clamp(max=len(self.symbols) - 1)]
        shorter = F.pad(torch.cat([x[:, :-2], x[:, -1:]], dim=1), (0, 1))
        lengths = torch.full((3 * len(x),), length)
        lengths[2 * len(x) :] -= 1
        return torch.cat([replaced, exchanged, shorter]), lengths


def train_encoder(
    texts: Sequence[str], seed: int = 0, steps: int = 1500, batch_size: int = 64, characters: int = 5000
) -> tuple[PartsEncoder, Alphabet]:
    """(encoder in evaluation mode, its alphabet), trained on quatrains: texts of LINES lines of equal length; see `fit`."""
    counts = Counter(character for text in texts for line in lines_of(text) for character in line)
    alphabet = Alphabet("".join(sorted(sorted(counts, key=lambda character: (-counts[character], character))[:characters])))
    return fit(by_length(texts, alphabet), len(alphabet.characters), "quatrains", seed, steps, batch_size), alphabet


def fit(
    groups: Sequence[Tensor],
    symbols: int,
    stream: str,
    seed: int = 0,
    steps: int = 1500,
    batch_size: int = 64,
    learning_rate: float = 3e-3,
) -> PartsEncoder:
    """An encoder in evaluation mode, trained on tokens [N, LINES, C] of poems or tunes, in groups of one C each.

    symbols: size of the vocabulary. stream: of the random numbers. Batches hold samples of one group, all groups in turn. Adam
    with cosine decay to zero. The same kind of machine with one thread gives bitwise equal weights.
    """
    spoil = Spoiled.of(groups, symbols + FIRST)
    with torch.random.fork_rng(devices=[]):
        rng.seed_layers(seed, 0)
        model = PartsEncoder(symbols)
        model.embedding.weight.data[FIRST:] = first_embeddings(groups, *model.embedding.weight.shape)[FIRST:]
        optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        for step in range(steps):
            generator = rng.generator(seed, stream, step)
            source = groups[step % len(groups)]
            x = source[torch.randint(len(source), (batch_size,), generator=generator)].flatten(0, 1)  # [LINES B, C]
            loss = F.cross_entropy(scores(model, x, spoil, generator), torch.arange(len(x)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if (step + 1) % 250 == 0:
                print(f"step {step + 1} of {steps}: loss {loss.item():.4f}", flush=True)
    return model.eval()


def scores(model: PartsEncoder, x: Tensor, spoil: Spoiled, generator: torch.Generator) -> Tensor:
    """Scores [N, N + 3] at the place of each line [N, C]: of the lines, the true one on the diagonal, and spoiled true ones."""
    place = torch.arange(len(x)) % LINES
    lines = model.lines(x, torch.full((len(x),), x.shape[1]))
    u, v = model.expectations(lines, place), model.found(lines)
    spoiled = model.found(model.lines(*spoil(x, generator))).unflatten(0, (3, -1))  # [3, N, D]
    return torch.cat([u @ v.T, (u * spoiled).sum(2).T], dim=1)


def by_length(texts: Sequence[str], alphabet: Alphabet) -> list[Tensor]:
    """Tokens [N, LINES, C] of the quatrains of each length of lines, shorter ones first."""
    poems = [lines_of(text) for text in texts]
    lengths = sorted({len(lines[0]) for lines in poems})
    parts = [[line for lines in poems if len(lines[0]) == length for line in lines] for length in lengths]
    return [alphabet.encode(lines)[0].unflatten(0, (-1, LINES)) for lines in parts]


def first_embeddings(poems: Sequence[Tensor], size: int, width: int) -> Tensor:
    """Embeddings [V, width] to begin with: factors of the positive pointwise mutual information of characters that are at most
    WINDOW apart in a line (Levy and Goldberg 2014), half of them for the first character of a pair, half for the second.
    """
    pairs = [(x[..., :-d].flatten(), x[..., d:].flatten()) for x in poems for d in range(1, WINDOW + 1)]
    a, b = (torch.cat(part).numpy() for part in zip(*pairs, strict=True))
    together, count = np.unique(a * size + b, return_counts=True)
    i, j = together // size, together % size
    left, right = np.bincount(a, minlength=size), np.bincount(b, minlength=size)
    information = np.log(count * len(a) / left[i] / right[j]).clip(min=0)
    matrix = sparse.csr_matrix((information, (i, j)), shape=(size, size))
    u, s, v = randomized_svd(matrix, width // 2, random_state=0)
    found = np.concatenate([u * np.sqrt(s), v.T * np.sqrt(s)], axis=1)
    return torch.from_numpy(found / found.std()).float() * width**-0.5


def by_bar(pieces: Sequence[Piece]) -> list[Tensor]:
    """Tokens [N, LINES, C] of the windows of all voices, shorter bars first.

    Two bars of 2/4 count as one. Pieces whose bars have other lengths than BAR_STEPS are left out.
    """
    symbols, found = Symbols.of(range(128)), {bar: list[Tensor]() for bar in BAR_STEPS}
    for piece in pieces:
        bar = bar_steps(piece.metre)
        bar *= 2 if 2 * bar in found and bar not in found else 1
        if bar in found:
            voices = max(note.voice for note in piece.notes) + 1
            tune = Pieces(symbols.encode(piece.notes, piece.steps, voices)[None], symbols.names)
            found[bar] += [tokens(tune, bar, voice) for voice in range(voices)]
    return [torch.cat(parts) for parts in found.values() if parts]


@torch.no_grad()
def share_found(model: PartsEncoder, groups: Sequence[Tensor], batch_size: int = 64) -> float:
    """Share of the lines of unseen poems or tunes, in groups as for `fit`, that have the highest score, among those of a batch
    and spoiled ones.
    """
    right = list[Tensor]()
    spoil = Spoiled.of(groups, model.embedding.num_embeddings)
    for number, source in enumerate(groups):
        generator = rng.generator(0, "unseen quatrains", number)
        for x in source.split(batch_size)[: len(source) // batch_size or 1]:
            found = scores(model, x.flatten(0, 1), spoil, generator)
            right.append(found.argmax(1) == torch.arange(len(found)))
    return float(torch.cat(right).float().mean())


def save_encoder(model: nn.Module, path: Path, alphabet: Alphabet | None = None) -> str:
    """Write weights, and the alphabet if there is one (safetensors), and return the file's SHA-256; its bytes depend on these
    alone.
    """
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if alphabet:
        tensors[CODES] = torch.from_numpy(alphabet.codes.astype(np.int32))
    content = safetensors.torch.save(tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)
    return hashlib.sha256(content).hexdigest()
