"""python -m src.tools.encoder: train the encoder of Chinese quatrains whose features the distances of poems use.

It made the pinned weights in src/evaluation/extractors/weights: anyone can repeat that and compare the SHA-256.
"""

from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.errors import UserError
from src.data.chinese_poetry import CHARACTERS, Poems
from src.data.dataset import SPLITS
from src.system.files import check_writable


def encoder(config: dict[str, Any]) -> None:
    """Train on the training quatrains, write the weights to `output`, and say whether they are the pinned ones."""
    output = Path(config["output"])
    if output.is_dir():
        raise UserError(f"output={output} is a folder: name a file")
    check_writable(output.parent, "output")
    sets = [Poems(config["folder"], characters, "both") for characters in CHARACTERS]
    sets[0].prepare()

    import torch

    from src.evaluation.extractors.quatrains import SHA256
    from src.evaluation.text_protocol import split_texts
    from src.tools.encoder_training import measure_encoder, save_encoder, train_encoder

    torch.set_num_threads(1)  # as for the pinned weights: another number rounds differently
    texts = {name: [text for data in sets for text in split_texts(data.split(name), data.spec.x.names)] for name in SPLITS}
    unseen = {text for name in SPLITS[1:] for text in texts[name]}
    seen = [text for text in texts["train"] if text not in unseen]
    model, alphabet = train_encoder(seen, config["seed"], config["steps"])
    share = measure_encoder(model, alphabet, texts["test"])
    digest = save_encoder(model, alphabet, output)
    print(f"{output}: {len(seen):,} quatrains, {share:.4f} of the lines of unseen ones found, SHA-256 {digest}")
    print("bitwise the pinned weights" if digest == SHA256 else f"not the pinned weights ({SHA256}): other machine or settings")


if __name__ == "__main__":
    command_line.run("encoder", encoder)
