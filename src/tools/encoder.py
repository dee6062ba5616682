"""python -m src.tools.encoder: train the encoder of Chinese quatrains, of=tunes that of tunes, of=clips that of clips, for the
Fréchet distances.

It made the pinned weights in src/evaluation/extractors/weights: anyone can repeat that and compare the SHA-256.
"""

from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.errors import UserError
from src.data.chinese_poetry import CHARACTERS, Poems
from src.data.dataset import SPLITS
from src.data.moving_mnist import MovingMNIST
from src.data.music.chorales import Chorales
from src.data.music.folk import Folk
from src.system.files import check_writable, write_json

STEPS = {"quatrains": 1500, "tunes": 1500, "clips": 800}  # updates: a CPU minute or two, of clips five


def encoder(config: dict[str, Any]) -> None:
    """Train on the training samples, write the weights to `output`, and say whether they are the pinned ones.

    record: a JSON file for what is said; None for none.
    """
    output = Path(config["output"])
    if config["of"] not in STEPS:
        raise UserError(f"of={config['of']}: must be {' or '.join(STEPS)}")
    if output.is_dir():
        raise UserError(f"output={output} is a folder: name a file")
    check_writable(output.parent, "output")
    if config["record"]:
        check_writable(Path(config["record"]).parent, "record")
    train = {"quatrains": quatrains, "tunes": tunes, "clips": clips}[config["of"]]
    steps = config["steps"] or STEPS[config["of"]]
    said, digest, pinned = train(Path(config["folder"]), config["seed"], steps, output)
    print(f"{output}: {said}, SHA-256 {digest}")
    if config["record"]:
        found = {"seed": config["seed"], "steps": steps, "result": said, "sha256": digest, "pinned_sha256": pinned}
        write_json(Path(config["record"]), found)
    print("bitwise the pinned weights" if digest == pinned else f"not the pinned weights ({pinned}): other machine or settings")


def quatrains(folder: Path, seed: int, steps: int, output: Path) -> tuple[str, str, str]:
    """(what was trained on, SHA-256 of the weights, that of the pinned ones); the quatrains are in `folder`/chinese_poetry."""
    sets = [Poems(folder / "chinese_poetry", characters, "both") for characters in CHARACTERS]
    sets[0].prepare()

    import torch

    from src.evaluation.extractors.quatrains import SHA256
    from src.evaluation.text_protocol import split_texts
    from src.tools.encoder_training import by_length, save_encoder, share_found, train_encoder

    torch.set_num_threads(1)  # as for the pinned weights: another number rounds differently
    texts = {name: [text for data in sets for text in split_texts(data.split(name), data.spec.x.names)] for name in SPLITS}
    unseen = {text for name in SPLITS[1:] for text in texts[name]}
    seen = [text for text in texts["train"] if text not in unseen]
    model, alphabet = train_encoder(seen, seed, steps)
    share = share_found(model, by_length(texts["test"], alphabet))
    said = f"{len(seen):,} quatrains, {share:.4f} of the lines of unseen ones found"
    return said, save_encoder(model, output, alphabet), SHA256


def tunes(folder: Path, seed: int, steps: int, output: Path) -> tuple[str, str, str]:
    """As `quatrains`, of the folk tunes and the chorales in `folder`/music."""
    sets = Folk(folder / "music"), Chorales(folder / "music")
    sets[0].prepare()

    import torch

    from src.evaluation.extractors.tunes import SHA256, SYMBOLS
    from src.tools.encoder_training import by_bar, fit, save_encoder, share_found

    torch.set_num_threads(1)
    pieces = [piece for data in sets for piece in data.pieces]
    train, test = (by_bar([piece for piece in pieces if piece.split == name]) for name in ("train", "test"))
    model = fit(train, SYMBOLS, "tunes", seed, steps)
    said = f"{sum(map(len, train)):,} windows, {share_found(model, test):.4f} of the half bars of unseen ones found"
    return said, save_encoder(model, output), SHA256


def clips(folder: Path, seed: int, steps: int, output: Path) -> tuple[str, str, str]:
    """As `quatrains`, of Moving MNIST, made from the digits in `folder`/mnist."""
    data = MovingMNIST(folder / "mnist")
    data.prepare()

    import torch

    from src.evaluation.extractors.clips import SHA256, ClipFeatures
    from src.tools.clip_training import share_told, train_clip_encoder
    from src.tools.encoder_training import save_encoder

    torch.set_num_threads(1)
    digest = save_encoder(train_clip_encoder(data.split("train"), seed, steps), output)
    both, told = share_told(ClipFeatures(output), data.split("test"))
    said = f"both digits found in {both:.4f} of the frames of unseen clips, {told:.4f} of the spoiled clips told"
    return said, digest, SHA256


if __name__ == "__main__":
    command_line.run("encoder", encoder, nullable=("steps", "record"))
