"""What the encoders of poems and of tunes share: weights of this repository, pinned by their SHA-256."""

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from src.config.errors import UserError
from src.evaluation.extractors.backbone import check_pinned, read


class Pinned:
    """An extractor with the committed weights, or with weights from a file.

    name: followed by the start of the SHA-256 if the weights are not the pinned ones. path, sha256: of the pinned ones.
    weights: the file with others. Raises UserError for weights that are missing, damaged or of another network.
    """

    def __init__(self, name: str, path: Path, sha256: str, weights: str | Path | None = None) -> None:
        file = Path(weights or path)
        content = read(file)
        self.weights_sha256 = hashlib.sha256(content).hexdigest()
        if not weights:
            check_pinned(file, self.weights_sha256, sha256)
        self.name = name if self.weights_sha256 == sha256 else f"{name}-{self.weights_sha256[:8]}"
        try:
            self.build(load(content))
        except (SafetensorError, RuntimeError, KeyError) as error:
            raise UserError(f"{file} holds no weights of {name}: make them with `python -m src.tools.encoder`") from error

    def build(self, state: dict[str, Tensor]) -> None:
        """Build the network from the tensors of the file; RuntimeError or KeyError if they are those of another one."""
        raise NotImplementedError
