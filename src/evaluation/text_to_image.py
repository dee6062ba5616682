"""The suite for pictures that are drawn from captions: distances in features, R-precision, colours, copies."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from src.config.errors import UserError
from src.data.spec import Spec
from src.evaluation.pair_suite import PairSuite

if TYPE_CHECKING:
    from torch import Tensor

    from src.data.dataset import Dataset
    from src.evaluation.cache import Arrays
    from src.evaluation.caption_protocol import Captioned
    from src.evaluation.pair_protocol import Reference
    from src.models.model import Model


class TextToImageSuite(PairSuite):
    """Measures samples that are drawn from the captions of unseen pictures, see PairSuite; `main` is their Fréchet distance.

    clip: run folder of model=clip, the judge of R-precision, which has its own words; None leaves R-precision out. It should
        know the captions of the split, from another split of the data, see EmojiCaptions.split_by.
    compositions: two captions with a word of HUES each; from the same seed, both samples must have the hue that is named. They
        are left out if the training captions lack a word of them. seeds: how many. The other arguments: see PairSuite.
    """

    name = "text_to_image"
    reads = "caption"

    def __init__(
        self,
        extractor: str = "efficientnet-lite0",
        samples: int = 1000,
        validation_samples: int = 200,
        seed: int = 3_000_000,
        split: str = "test",
        device: str | None = None,
        cache: str | Path = ".cache",
        clip: str | Path | None = None,
        compositions: Sequence[str] = ("red heart", "blue heart"),
        seeds: int = 100,
    ) -> None:
        super().__init__(extractor, samples, validation_samples, seed, split, device, cache, paired=False)
        self.clip, self.compositions, self.seeds = clip, tuple(compositions), seeds

    @cached_property
    def judge(self) -> "Model | None":
        """The model of `clip`."""
        from src.models.capabilities import EmbedsFields
        from src.runs.load import load_run

        if self.clip is None:
            return None
        try:
            model = load_run(self.clip)
        except UserError as error:
            raise UserError(f"evaluation.clip={self.clip}: {error}") from error
        if not isinstance(model, EmbedsFields) or {"x", "caption"} - set(model.fields):
            raise UserError(f"evaluation.clip={self.clip} compares no pictures with captions: name a run of model=clip")
        return cast("Model", model)

    def check(self, spec: Spec) -> None:
        """See Suite."""
        super().check(spec)
        if "caption" not in spec.fields:
            raise UserError("evaluation=text_to_image is for pictures with captions: take such data (data=emoji_captions)")
        from src.evaluation.metrics.captions import named_hue

        hues = {named_hue(text.lower().split()) for text in self.compositions}
        if len(self.compositions) != 2 or len(hues) != 2 or None in hues:
            raise UserError("evaluation.compositions= are two captions that name two colours, such as [red heart,blue heart]")
        if self.judge and self.judge.spec.shape[0] != spec.shape[0]:
            raise UserError(f"evaluation.clip={self.clip} was trained with pictures of other channels: name another run")

    def reference(self, dataset: "Dataset") -> "Captioned":
        from src.evaluation.caption_protocol import Captioned

        if self.judge:
            self.judge.to(self.extractor.device)
        return Captioned(dataset, self.extractor, self.split, self.samples, self.judge)

    def candidates(self, reference: "Reference", known: "Arrays") -> "Mapping[str, Tensor]":
        return {"nearest_caption": cast("Captioned", reference).by_nearest_caption()}

    def own_candidates(self, model: "Model", reference: "Reference") -> "Mapping[str, Tensor]":
        """unconditional: samples of the empty caption, from the same seeds."""
        from src.evaluation.caption_protocol import unconditional

        return {"unconditional": unconditional(model, reference, self.seed)}

    def of_model(
        self, model: "Model", reference: "Reference", drawn: "Tensor"
    ) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """`composition`; shuffled_captions: the samples with the caption of the row before, and the two captions exchanged."""
        import numpy as np

        from src.evaluation.caption_protocol import composition

        seeds = range(self.seed, self.seed + self.seeds)
        metrics, exchanged = composition(model, reference.dataset.spec, self.compositions, seeds)
        order = np.roll(np.arange(len(drawn)), 1)
        return metrics, {"shuffled_captions": cast("Captioned", reference).agreement(drawn, order) | exchanged}

    def show(self, reference: "Reference", drawn: "Tensor", known: "Arrays", modality: Any, folder: Path) -> None:
        """Write a few captions with sample and real picture, and samples beside the training pictures nearest to them."""
        from src.evaluation.pair_protocol import picture, shown_rows
        from src.modalities.pictures import captioned_strips

        rows, texts = shown_rows(len(drawn)), cast("Captioned", reference).texts
        shown = picture([drawn, reference.targets], rows).permute(0, 1, 3, 4, 2).numpy()  # [R, 2, H, W, 3]
        captioned_strips(list(shown), [texts[row] for row in rows], folder / "captions.png")
        self.show_neighbours(reference, drawn, known, modality, folder)
