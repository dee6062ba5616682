"""What rules for texts share: the check of their data, and batches in which PAD tells where texts end."""

import torch

from src.data.spec import Batch, Spec
from src.data.vocabulary import PAD


def check_texts(spec: Spec) -> None:
    """Raise ValueError for data that are not texts, or that have a source."""
    if (spec.kind, len(spec.shape)) != ("tokens", 1) or not spec.x.names:
        raise ValueError(f"it models texts, not {spec.kind}: take data=poems, or data=text data.path=...")
    if "source" in spec.fields:
        raise ValueError("it reads no source: take model=gpt for pairs of texts, or data without a source")


def padded(batch: Batch, spec: Spec) -> Batch:
    """The batch with PAD from `length` on, where the data have lengths: networks see by it where a text [T] ends."""
    if "length" not in batch:
        return batch
    x = batch["x"]
    inside = torch.arange(x.shape[1], device=x.device) < batch["length"][:, None]  # [B, T]
    return {**batch, "x": torch.where(inside, x, spec.x.names.index(PAD))}
