"""The sweep that these tests share."""

from typing import Any

SPACE = {
    "x": {"type": "float", "low": -5.0, "high": 5.0},
    "n": {"type": "int", "low": 1, "high": 9},
    "c": {"type": "categorical", "choices": ["a", [1, 2], None]},
}
CONFIG: dict[str, Any] = {
    "name": "test",
    "store": None,
    "base": ["model=mlp_gan"],
    "recipe": {"model.slope": 0.2},
    "stop": {"images": 640},
    "space": SPACE,
    "sampler": "tpe",
    "startup": 3,
    "pruner": "none",
    "prune_from": 20,
    "reduction": 2,
    "seed": 0,
}
