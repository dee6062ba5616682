"""The suite for pictures made from other pictures: line drawings coloured, photographs of one kind turned into another."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from src.config.errors import UserError
from src.data.spec import Spec
from src.evaluation.pair_suite import PairSuite

if TYPE_CHECKING:
    from torch import Tensor

    from src.evaluation.cache import Arrays
    from src.evaluation.pair_protocol import Reference
    from src.models.model import Model

COARSE = 16  # the side to which sources are averaged before they are compared


class TranslationSuite(PairSuite):
    """Measures translations of unseen sources beside their true targets, see PairSuite.

    Rules that learn from unpaired pictures are measured by the pairs that were held back.
    """

    name = "translation"

    def check(self, spec: Spec) -> None:
        """See Suite."""
        super().check(spec)
        source = spec.fields.get("source")
        if source is None or source.kind != "image" or source.shape[1:] != spec.shape[1:]:
            raise UserError(
                "evaluation=translation measures pairs of pictures of one size, and these data have no such source: take "
                "data=emoji_pairs, or pairs of your own (data=pairs), or another evaluation="
            )

    def check_model(self, model: "Model") -> None:
        """See Suite."""
        from src.models.capabilities import ConditionsFromData

        super().check_model(model)
        if isinstance(model, ConditionsFromData):
            raise UserError(
                f"evaluation=translation measures what is made of a pair's source, and {type(model).__name__} makes its own "
                "source: take another evaluation="
            )

    def sources(self, reference: "Reference") -> "Tensor":
        from src.evaluation.pair_protocol import read

        return read(reference.dataset.split(self.split), reference.rows, "source")

    def candidates(self, reference: "Reference", known: "Arrays") -> "Mapping[str, Tensor]":
        """copy: the source. mean_image: of training. nearest: by `coarse` sources, of pairs. shuffled: targets."""
        from src.evaluation.metrics.neighbours import nearest
        from src.evaluation.metrics.pairs import as_channels
        from src.evaluation.pair_protocol import read

        targets, train, sources = reference.targets, reference.train, self.sources(reference)
        mean = train.double().mean(dim=0, keepdim=True).round().to(targets.dtype)
        found = {"copy": as_channels(sources, targets.shape[1]), "mean_image": mean.expand_as(targets)}
        if reference.train_paired:
            seen = read(reference.train_split, reference.train_rows, "source")
            _, rows = nearest(coarse(sources), coarse(seen))
            found["nearest"] = train[rows[:, 0]]
        return found | ({"shuffled": reference.others()} if self.paired else {})


def coarse(pictures: "Tensor") -> "Tensor":
    """Pictures [N, C, H, W] averaged to [N, C * 16 * 16]: thin lines that are a pixel apart then resemble each other."""
    from torch.nn.functional import adaptive_avg_pool2d

    return adaptive_avg_pool2d(pictures.float(), COARSE).flatten(1)
