"""Layouts that a person types: `layout=` of src.generate, for models that draw what lies where."""

from collections.abc import Callable, Mapping
from typing import Any

from src.config.checks import is_number
from src.config.errors import UserError, nearest
from src.runs.prompts import text_of

FILES = (".json", ".yaml", ".yml")
EXAMPLE = "[{name: NAME, box: [0.1, 0.2, 0.3, 0.3]}, ...]"


def reads_layouts(model: Any) -> bool:
    """Whether a model draws pictures of layouts."""
    return "layout" in model.conditions([0])


def given(config: Mapping[str, Any]) -> dict[str, Any]:
    """{"layout": what the user has set}; empty if that is nothing."""
    return {"layout": config["layout"]} if config["layout"] is not None else {}


def check(model: Any, config: Mapping[str, Any]) -> None:
    """UserError if layout= is set and the model has no use for it."""
    if config["layout"] is not None and not reads_layouts(model):
        raise UserError("this model reads no layout=: leave it out, or name a run of model=layout_to_image")


def conditions(model: Any, config: Mapping[str, Any], tested: Callable[[], Any], n: int) -> dict[str, Any]:
    """{"layout": [n, M, 5]}: that of layout= for all samples, or those of n test samples, of which `tested` is a batch."""
    if config["layout"] is None:
        return {"layout": tested()["layout"]}
    return {"layout": layout_of(model, config["layout"]).expand(n, -1, -1)}


def layout_of(model: Any, value: str) -> Any:
    """A layout as text, or in a file, as float32 [M, 5]; UserError for what cannot be drawn."""
    return read(model, text_of("layout", value, FILES), f"layout={value}" if value.endswith(FILES) else "layout")


def read(model: Any, text: str, said: str = "layout") -> Any:
    """A layout as text as float32 [M, 5]: class, x, y, width, height; UserError for what cannot be drawn.

    said: its name in messages.
    """
    import torch
    import yaml

    field = model.spec.fields["layout"]
    try:
        objects = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{said}: cannot read it as a list of objects: write {EXAMPLE}") from error
    if not isinstance(objects, list) or not objects or not all(isinstance(one, dict) for one in objects):
        raise UserError(f"{said}: is no list of objects: write {EXAMPLE}, or name a .json file of it")
    if len(objects) > len(found := torch.zeros(field.shape)):
        raise UserError(f"{said}: has {len(objects)} objects, and this model draws at most {len(found)}: leave some out")
    for place, one in enumerate(objects):
        what = f"{said}, object {place + 1}"
        if set(one) != {"name", "box"}:
            raise UserError(f"{what}: must have a name and a box, and nothing else: write {EXAMPLE}")
        if (name := str(one["name"])) not in field.names:
            raise UserError(f"{what}: {name!r} is none of the names that this model knows: {nearest(name, field.names)}")
        box = one["box"]
        if not (isinstance(box, list) and len(box) == 4 and all(map(is_number, box))):
            raise UserError(f"{what}: box must be four numbers, [x, y, width, height] in shares of the picture's side")
        x, y, width, height = box
        if min(x, y) < 0 or min(width, height) <= 0 or max(x + width, y + height) > 1 + 1e-6:
            raise UserError(
                f"{what}: the box {box} is not within the picture: x, y, x + width and y + height go from 0 to 1, "
                "and width and height are above 0"
            )
        found[place] = torch.tensor([field.names.index(name), *box])
    return found


def record(model: Any, config: Mapping[str, Any], cond: Any) -> dict[str, Any]:
    """For the record of samples: {"layout": the one of all} or {"layouts": those of each}; empty for models that read none."""
    if not reads_layouts(model):
        return {}
    names = model.spec.fields["layout"].names
    described = [
        [{"name": names[int(kind)], "box": [round(x, 4) for x in box]} for kind, *box in layout if box[2] > 0]
        for layout in cond["layout"].tolist()
    ]
    return {"layouts": described} if config["layout"] is None else {"layout": described[0]}
