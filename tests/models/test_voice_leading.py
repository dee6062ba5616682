import pytest
import torch

from src.config.errors import UserError
from src.data.music.notes import Symbols
from src.data.spec import Field, Spec
from src.evaluation.metrics.music.pieces import Pieces
from src.evaluation.metrics.music.voice_leading import FIFTH, OCTAVE, parallels
from src.models.voice_leading import NoParallels

NAMES = Symbols.of(range(60, 73)).names
SPEC = Spec({"x": Field("tokens", (12, 3), "int64", names=NAMES)})


def counted(x: torch.Tensor) -> int:
    pieces = Pieces(x.numpy(), NAMES)
    return parallels(pieces, FIFTH) + parallels(pieces, OCTAVE)


def test_a_symbol_is_masked_exactly_where_it_would_make_a_parallel() -> None:
    """Against the metric, for every symbol that may come next in random music of three voices."""
    random, rule, masked = torch.Generator().manual_seed(0), NoParallels(SPEC), 0
    used = torch.tensor([NAMES.index(name) for name in ("hold", "rest", "C4", "D4", "G4", "A4", "C4", "D4", "G4", "A4")])
    for step, voice in [(step, voice) for step in (1, 2, 3, 5) for voice in range(3)] * 3:
        start = used[torch.randint(len(used), (1, step * 3 + voice), generator=random)]
        allowed = rule.allowed(start)[0]
        rows = torch.zeros(len(NAMES), (step + 1) * 3, dtype=torch.int64)  # hold
        rows[:, : start.shape[1]] = start
        before = counted(rows[:1].view(1, step + 1, 3))
        for symbol in used.unique():
            row = rows[symbol]
            row[start.shape[1]] = symbol
            assert allowed[symbol] == (counted(row.view(1, step + 1, 3)) == before)
        masked += int((~allowed).sum())
    assert masked > 2


def test_fifths_by_hand() -> None:
    """C4 under G4: after a step up to A4, D4 is not allowed, and to hold C4 is; after a step down to F4, D4 is."""
    g, c, a, f, d, hold, rest = (NAMES.index(name) for name in ("G4", "C4", "A4", "F4", "D4", "hold", "rest"))
    spec = Spec({"x": Field("tokens", (4, 2), "int64", names=NAMES)})
    up, down = NoParallels(spec).allowed(torch.tensor([[g, c, hold, hold, a], [g, c, hold, hold, f]]))
    assert up[[d, hold, rest]].tolist() == [False, True, True]
    assert (~up).sum() == 1
    assert down.all()


def test_one_voice_has_no_parallels() -> None:
    with pytest.raises(UserError, match="parallels=false: this model's music has one voice"):
        NoParallels(Spec({"x": Field("tokens", (12, 1), "int64", names=NAMES)}))
