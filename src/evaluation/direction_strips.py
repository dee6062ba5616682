"""The directions of one model: found, measured beside random ones, and shown as strips."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from src.data.dataset import read_all
from src.data.spec import Spec
from src.evaluation.directions import effect, probabilities, probe, sefa, train_classifier
from src.evaluation.steering import FIRST, REACH, step_along
from src.models.latent import LatentModel
from src.models.latent_space import LatentSpace
from src.training import rng

STEPS = 7  # of a strip, from -3 to 3 standard deviations of the codes along its direction
LARGEST = 20  # classes: with more of them, none is taken as an attribute


class Directions:
    """Directions of a model: closed-form ones, and one for each attribute that a probe finds.

    train, validation: splits of the model's data, from which the classifier of attributes learns, and on which it is tested.
    extractor: name of the one that distances are measured in; None leaves them out.
    settings: n, of closed-form directions and of the random ones beside them. latents: codes that the probes learn from, half
    of them, and are tested on. pairs: codes on which effects are measured. rows: of a strip. seed: first seed of its rows, and
    the seed of all that is random. weights: see `LatentModel.decode`.
    """

    def __init__(
        self, model: LatentModel, train: Any, validation: Any, settings: Mapping[str, Any], extractor: str | None
    ) -> None:
        self.model, self.settings, self.extractor = model, settings, extractor
        self.space = LatentSpace(model, settings["weights"])
        self.names = attribute_names(model.spec)
        self.train, self.validation = train, validation

    def record(self) -> dict[str, Any]:
        """What was found, as plain JSON values: the space, the classifier, each direction beside random ones."""
        found = {name: self._measured(name) for name in self.directions}
        return {
            "space": self.space.name,
            "dimensions": self.codes.shape[1],
            "reach": REACH,
            "attributes": list(self.names),
            "classifier_accuracy": self._accuracy if self.names else {},
            "as_asked": self._as_asked(),
            "left_out": [name for name in self.names if f"attribute-{name}" not in found],
            "directions": found,
            "steps": {name: self._scaled(self.directions[name]).tolist() for name in found if name.startswith("attribute-")},
        }

    def strips(self) -> Iterator[tuple[str, Tensor]]:
        """Names of directions with samples [rows, STEPS, *shape]: a seed in each row, its direction from left to right."""
        rows, seed = self.settings["rows"], self.settings["seed"]
        cond = self.model.conditions(range(seed, seed + rows))
        codes = self.space.codes(range(seed, seed + rows), cond)
        cond = {name: part.repeat_interleave(STEPS, dim=0) for name, part in cond.items()}
        for name, direction in self.directions.items():
            moves = torch.linspace(-REACH, REACH, STEPS)[:, None] * self._scaled(direction)  # [STEPS, D]
            edited = codes[:, None] + moves  # [rows, STEPS, D]
            yield name, self.space.samples(edited.flatten(0, 1), cond).unflatten(0, (rows, STEPS))

    @cached_property
    def directions(self) -> dict[str, Tensor]:
        """Directions [D] of unit length by name."""
        n = min(self.settings["n"], self.codes.shape[1])
        vectors, self._gains = sefa(self.space.matrix(), n)
        found = {f"sefa-{k + 1}": vector.float() for k, vector in enumerate(vectors)}
        return found | {f"attribute-{name}": one.direction.float() for name, one in self._probes.items()}

    @cached_property
    def codes(self) -> Tensor:
        """Those that probes learn from and are tested on, [latents, D]; they are not in the strips."""
        return self.space.codes(self._seeds("latents"), self.model.conditions(self._seeds("latents")))

    def _seeds(self, setting: str) -> range:
        """Seeds of `latents` or of `pairs`: two ranges that have nothing in common, and nothing with those of the strips."""
        first = self.settings["seed"] + (1 if setting == "latents" else 2) * FIRST
        return range(first, first + self.settings[setting])

    @cached_property
    def _classifier(self) -> Any:
        x, has = labelled(self.model.spec, self.train)
        return train_classifier(self.model.spec, x, has, self.settings["seed"])

    @cached_property
    def _accuracy(self) -> dict[str, float]:
        x, has = labelled(self.model.spec, self.validation)
        right = ((probabilities(self._classifier, x) > 0.5) == has.bool()).double().mean(0)
        return dict(zip(self.names, right.tolist(), strict=True))

    @cached_property
    def _answers(self) -> Tensor:
        """Which attributes the classifier sees in the samples of `codes`, bool [latents, K]."""
        samples = self.space.samples(self.codes, self.model.conditions(self._seeds("latents")))
        return probabilities(self._classifier, samples) > 0.5

    def _as_asked(self) -> dict[str, float]:
        """Share of samples in which the classifier sees, or misses, an attribute as their class has it or lacks it."""
        y = self.model.conditions(self._seeds("latents")).get("y")
        words = [name.split() for name in self.model.spec.classes]
        decided = [k for k, name in enumerate(self.names) if y is not None and any(name in found for found in words)]
        given = {k: torch.tensor([self.names[k] in found for found in words])[y] for k in decided}
        return {self.names[k]: (self._answers[:, k] == has).double().mean().item() for k, has in given.items()}

    @cached_property
    def _probes(self) -> dict[str, Any]:
        if not self.names:
            return {}
        has = self._answers
        probes = {name: probe(self.codes, has[:, k]) for k, name in enumerate(self.names)}
        return {name: found for name, found in probes.items() if found}

    @cached_property
    def _random(self) -> list[tuple[Tensor, Tensor, float | None]]:
        size = (self.settings["n"], self.codes.shape[1])
        vectors = torch.randn(size, generator=rng.generator(self.settings["seed"], "directions"))
        return [self._ends(vector) for vector in normalize(vectors, dim=1)]

    def _scaled(self, direction: Tensor) -> Tensor:
        """A direction [D] with the length of one standard deviation of the codes along it."""
        return step_along(self.codes, direction)

    def _ends(self, direction: Tensor) -> tuple[Tensor, Tensor, float | None]:
        """Probabilities [N, K] of the attributes at both ends of a direction, and the mean distance of the images there."""
        seeds = self._seeds("pairs")
        cond = self.model.conditions(seeds)
        codes = self.space.codes(seeds, cond)
        low, high = (self.space.samples(codes + sign * REACH * self._scaled(direction), cond) for sign in (-1, 1))
        answers = [probabilities(self._classifier, x) if self.names else torch.empty(len(x), 0) for x in (low, high)]
        if self.extractor is None:
            return answers[0], answers[1], None
        features = [self._features(self.model.spec.x.to_data(x)).features for x in (low, high)]
        return answers[0], answers[1], (features[1] - features[0]).norm(dim=1).mean().item()

    @cached_property
    def _features(self) -> Any:
        from src.evaluation.extractors.extractor import load_extractor

        assert self.extractor is not None
        return load_extractor(self.extractor)

    def _measured(self, name: str) -> dict[str, Any]:
        """What a direction does, and random ones on average: to the same attribute, or each to the one that it changes most."""
        kind, _, rest = name.partition("-")
        own = self._ends(self.directions[name])
        wanted = self.names.index(rest) if kind == "attribute" else None
        found: dict[str, Any] = {"gain": self._gains[int(rest) - 1].item()} if wanted is None else {}
        if wanted is not None:
            found |= {"accuracy": self._probes[rest].accuracy, "majority": self._probes[rest].majority}
        random: dict[str, Any] = {}
        if self.names:
            done = effect(own[0], own[1], wanted)
            others = [effect(low, high, wanted) for low, high, _ in self._random]
            found |= {"attribute": self.names[done.attribute], "change": done.change, "others": done.others}
            random |= {"change": mean([abs(one.change) for one in others]), "others": mean([one.others for one in others])}
        if own[2] is not None:
            found["distance"] = own[2]
            random["distance"] = mean([distance for *_, distance in self._random if distance is not None])
        return found | {"random": random}


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def attribute_names(spec: Spec) -> tuple[str, ...]:
    """The data's attributes; of data without, each class against the rest, if they are few; else none."""
    if "attributes" in spec.fields:
        return spec.fields["attributes"].names
    return spec.classes if 1 < len(spec.classes) <= LARGEST else ()


def labelled(spec: Spec, split: Any) -> tuple[Tensor, Tensor]:
    """The images of a split in the model's format [N, *shape], and which attributes they have, float [N, K]."""
    x = spec.x.to_model(torch.from_numpy(read_all(split, "x").copy()))
    if "attributes" in spec.fields:
        return x, torch.from_numpy(read_all(split, "attributes").copy()).float()
    y = torch.from_numpy(read_all(split, "y").copy())
    return x, torch.nn.functional.one_hot(y, len(spec.classes)).float()
