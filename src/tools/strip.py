"""python -m src.tools.strip: draw README's picture, samples of the published models side by side, from their weights."""

from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont

from src.config import command_line
from src.runs.load import load_run
from src.system.numerics import set_numerics

LABEL, GAP, SIZE = 22, 14, 14  # pixels: height of a label, space between two blocks, height of the letters
WHITE, BLACK = 255, 0


def strip(config: dict[str, Any]) -> Image.Image:
    """Draw `rows` x `columns` samples of each run, in grey, and write them as one PNG to `out`."""
    set_numerics(1, "highest")
    rows, columns = config["rows"], config["columns"]
    blocks = [(label, block(folder, rows, columns)) for label, folder in config["runs"].items()]
    width = sum(picture.width + GAP for _, picture in blocks) - GAP
    image = Image.new("L", (width, LABEL + max(picture.height for _, picture in blocks)), WHITE)
    draw, left = ImageDraw.Draw(image), 0
    for label, picture in blocks:
        draw.text((left, 0), label, fill=BLACK, font=ImageFont.load_default(SIZE))
        image.paste(picture, (left, LABEL))
        left += picture.width + GAP
    image.save(config["out"], optimize=True)
    print(config["out"])
    return image


def block(folder: str, rows: int, columns: int) -> Image.Image:
    """The samples of the seeds 0 .. rows * columns - 1 of a run, as one grey picture; the classes take turns."""
    samples = (
        load_run(folder).sample(range(rows * columns)).unflatten(0, (rows, columns))
    )  # [rows, columns, 1, H, W] in [-1, 1]
    grid = samples.squeeze(2).transpose(1, 2).flatten(2).flatten(0, 1)  # [rows * H, columns * W]
    return Image.fromarray(grid.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).numpy())


if __name__ == "__main__":
    command_line.run("strip", strip)
