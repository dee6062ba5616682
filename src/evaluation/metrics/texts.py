"""Metrics of texts as strings, whose units are characters: variety, overlap with references, copies of training texts."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain

from src.evaluation.metrics.quatrains import lines_of

ORDERS = (1, 2, 3, 4)
SENTENCE_END = re.compile("[。！？.!?\n]")
NEAR = 2  # edits: insertions, deletions, substitutions
SHORTEST = 12  # characters of a text that `near_copies` judges: two edits of a shorter one may be another text


def ngrams(text: str, n: int) -> list[str]:
    return [text[i : i + n] for i in range(len(text) - n + 1)]


def groups(count: int, size: int) -> list[slice]:
    """Slices of `size` of `count` samples, as many as are full."""
    return [slice(start, start + size) for start in range(0, count - size + 1, size)]


# Variety: both metrics depend on the number of texts, so that only values of equal numbers can be compared


def distinct(texts: Sequence[str]) -> dict[str, float]:
    """`distinct_n`, n = 1 .. 4: different n-grams of all texts, divided by their n-grams (Li et al. 2016, arXiv:1510.03055)."""
    found = {}
    for n in ORDERS:
        all_ngrams = [gram for text in texts for gram in ngrams(text, n)]
        found[f"distinct_{n}"] = len(set(all_ngrams)) / max(len(all_ngrams), 1)
    return found


def self_bleu(texts: Sequence[str]) -> float:
    """BLEU-4 of all texts, each with all others as its references; 0 to 1 (Zhu et al. 2018, arXiv:1802.01886).

    Matches are summed over all texts before their ratios are taken, as in the BLEU of a corpus (Papineni et al. 2002).
    """
    precisions = [_matches(texts, n) for n in ORDERS]
    if not all(precisions):
        return 0.0
    lengths = Counter(map(len, texts))
    hypothesis, reference = sum(map(len, texts)), sum(_closest(len(text), lengths) for text in texts)
    brevity = min(0.0, 1 - reference / hypothesis)
    return math.exp(brevity + sum(map(math.log, precisions)) / len(ORDERS))


def _matches(texts: Sequence[str], n: int) -> float:
    """Share of the n-grams of all texts that occur in another text, each as often as there."""
    counts = [Counter(ngrams(text, n)) for text in texts]
    most: dict[str, tuple[int, int, int]] = {}  # n-gram -> its highest count, in which text, the second highest count
    for number, grams in enumerate(counts):
        for gram, count in grams.items():
            highest, owner, second = most.get(gram, (0, -1, 0))
            most[gram] = (count, number, highest) if count > highest else (highest, owner, max(second, count))
    matched = 0
    for number, grams in enumerate(counts):
        for gram, count in grams.items():
            highest, owner, second = most[gram]
            matched += min(count, second if owner == number else highest)
    return matched / max(sum(grams.total() for grams in counts), 1)


def _closest(length: int, lengths: Counter[int]) -> int:
    """The length of another text that is closest to this one, the shorter of two."""
    others = (other for other, count in lengths.items() if count > (other == length))
    return min(others, key=lambda other: (abs(other - length), other), default=0)


# Overlap with one reference


def overlap(texts: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """`bleu` and `chrf` of sacrebleu, 0 to 100; `rouge_1`, `rouge_2`, `rouge_l`, 0 to 1; of texts with one reference each."""
    from sacrebleu.metrics import BLEU, CHRF  # lazy: half a second

    found = {
        "bleu": BLEU(tokenize="char").corpus_score(texts, [references]).score,
        "chrf": CHRF().corpus_score(texts, [references]).score,
    }
    pairs = list(zip(texts, references, strict=True))
    for n in (1, 2):
        found[f"rouge_{n}"] = sum(rouge_n(text, reference, n) for text, reference in pairs) / len(pairs)
    return found | {"rouge_l": sum(rouge_l(text, reference) for text, reference in pairs) / len(pairs)}


def rouge_n(text: str, reference: str, n: int) -> float:
    """F1 of the n-grams of characters that a text shares with its reference (Lin 2004)."""
    own, wanted = Counter(ngrams(text, n)), Counter(ngrams(reference, n))
    return _f1((own & wanted).total(), own.total(), wanted.total())


def rouge_l(text: str, reference: str) -> float:
    """F1 of the longest common subsequence of characters (Lin 2004)."""
    row = [0] * (len(reference) + 1)
    for character in text:
        last = 0
        for place, other in enumerate(reference, 1):
            last, row[place] = row[place], last + 1 if character == other else max(row[place], row[place - 1])
    return _f1(row[-1], len(text), len(reference))


def _f1(shared: int, own: int, wanted: int) -> float:
    return 2 * shared / (own + wanted) if own + wanted else 0.0


def lead(text: str) -> str:
    """The first sentence of a text, with the mark at its end."""
    found = SENTENCE_END.search(text)
    return text[: found.end()] if found else text


def nearest_texts(queries: Sequence[str], texts: Sequence[str]) -> list[int]:
    """For each query, the number of the text that is most similar: cosine of TF-IDF weights of its characters and pairs."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    weights = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True, lowercase=False)
    known = weights.fit_transform(texts)
    return [int(row) for row in (weights.transform(queries) @ known.T).toarray().argmax(axis=1)]


# Copies


class Training:
    """Training texts, arranged for the search of copies. Their lines are what `lines_of` finds, for texts in Chinese."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.of_line: dict[str, list[int]] = defaultdict(list)
        for number, text in enumerate(texts):
            for line in set(lines_of(text)):
                self.of_line[line].append(number)

    def shares_two_lines(self, text: str) -> bool:
        """Whether one training text contains two different lines of this text."""
        shared = Counter(chain.from_iterable(self.of_line.get(line, ()) for line in set(lines_of(text))))
        return max(shared.values(), default=0) >= 2

    def near(self, samples: Sequence[str]) -> list[bool]:
        """Whether each sample is at most NEAR edits away from a training text; False for samples shorter than SHORTEST.

        Of NEAR + 1 pieces of a sample, one is unchanged in such a text, and at most NEAR places away.
        """
        pieces: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        for number, sample in enumerate(samples):
            if len(sample) >= SHORTEST:
                step = len(sample) // (NEAR + 1)
                size = max(size for size in (4, 8, 16, 32) if size <= step)  # few sizes: each goes through all texts
                for start in range(0, (NEAR + 1) * step, step):
                    pieces[size][sample[start : start + size]].append((number, start))
        found = [False] * len(samples)
        for number, text in self._candidates(samples, pieces):
            found[number] = found[number] or within(samples[number], text, NEAR)
        return found

    def _candidates(
        self, samples: Sequence[str], pieces: dict[int, dict[str, list[tuple[int, int]]]]
    ) -> Iterator[tuple[int, str]]:
        """Numbers of samples and training texts that have a piece in common."""
        for size, wanted in pieces.items():
            for text in self.texts:
                for place in range(len(text) - size + 1):
                    for number, start in wanted.get(text[place : place + size], ()):
                        if abs(place - start) <= NEAR and abs(len(text) - len(samples[number])) <= NEAR:
                            yield number, text


def within(a: str, b: str, edits: int) -> bool:
    """Whether at most so many insertions, deletions and substitutions turn one text into the other."""
    row = list(range(len(b) + 1))
    for i, character in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            last, row[j] = row[j], last if character == other else 1 + min(last, row[j], row[j - 1])
        if min(row) > edits:
            return False
    return row[-1] <= edits
