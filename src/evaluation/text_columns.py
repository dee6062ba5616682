"""The columns of a table of text metrics, and the names of its controls."""

from collections.abc import Iterator, Mapping
from typing import Any

from src.evaluation.suite import Column

FD = "fd_pairs"
COPIED = 10  # characters in a row that a sample and a training text share, for the sample to count as copied

# The keys of `fd`, `mauve` and `mauve_range` in a record end in the name of the features.
COLUMNS = [
    Column("nats", "nats / character", "negative log-likelihood per character of unseen texts; their ends count as characters"),
    Column("perplexity", "perplexity", "exp(nats): among how many equally probable characters the model chooses"),
    Column("fd", "FD ↓", "Fréchet distance of samples to training texts, in the features of an encoder of quatrains"),
    Column(
        "mauve", "MAUVE ↑", "how far samples and training texts fill the same clusters of features; mean of 5 k-means", "higher"
    ),
    Column("mauve_range", "range of MAUVE", "largest minus smallest value over 5 seeds of k-means", None, True),
    Column(FD, "FD of pairs ↓", "Fréchet distance of samples to training texts, by which characters follow each other"),
    Column("structure", "structure ↑", "share of samples with the line lengths and the punctuation of the data", "higher"),
    Column("rhyme", "rhyme ↑", "share of samples whose second and fourth line rhyme (Pingshui rhymes)", "higher"),
    Column("tones", "tones ↑", "share of samples that follow the tone rules of regulated verse", "higher"),
    Column("self_bleu", "self-BLEU ↓", "BLEU-4 of each sample with the others as references: high if they repeat each other"),
    *(
        Column(
            f"distinct_{n}", f"distinct-{n} ↑", f"different {n}-grams of characters, divided by all of them", "higher", n != 2
        )
        for n in (1, 2, 3, 4)
    ),
    Column(
        "bleu", "BLEU ↑", "n-grams of characters that samples share with their references, by sacrebleu, 0 to 100", "higher"
    ),
    Column("chrf", "chrF ↑", "F-score of n-grams of characters, by sacrebleu, 0 to 100", "higher"),
    Column("rouge_1", "ROUGE-1 ↑", "F1 of the characters that a sample shares with its reference", "higher", True),
    Column("rouge_2", "ROUGE-2 ↑", "F1 of the pairs of characters that a sample shares with its reference", "higher", True),
    Column("rouge_l", "ROUGE-L ↑", "F1 of the longest common subsequence of a sample and its reference", "higher"),
    Column(
        "copied", "copied", f"share of samples that have {COPIED} characters in a row, or two lines, of a training text", None
    ),
    Column("near_copies", "near copies", "share of samples at most two edits away from a training text", None),
    Column("copied_ngram", "longest copy", "the longest run of characters shared with a training text, on average", None, True),
]
CONTROL_NAMES = {
    "real": "unseen real text (floor)",
    "ngram_4": "4-gram model (baseline)",
    "bigram": "bigram model (baseline)",
    "unigram": "unigram model (baseline)",
    "lines_shuffled": "real text, lines shuffled",
    "shuffled": "real text, characters shuffled",
    "training_copies": "copies of training text",
    "lead": "first sentence of the source",
    "nearest": "target of the most similar training source",
}


def columns(measured: Mapping[str, Any], features: str) -> Iterator[Column]:
    """The columns of a record with these keys, in the order of the table. features: the name of the encoder, or "pairs"."""
    for column in COLUMNS:
        named = f"{column.key}_{features}"
        if column.key in measured:
            yield column
        elif named in measured and named != FD:  # which has a column of its own
            yield column._replace(key=named)
