import numpy as np

from src.data.unpaired import ROUNDS, Unpaired


def test_each_round_has_every_sample_of_both_sets() -> None:
    split = Unpaired(x=np.arange(10, 13), source=np.arange(7))
    assert len(split) == ROUNDS * 7
    rounds = [split.batch(np.arange(7) + 7 * number) for number in range(ROUNDS)]
    for batch in rounds:
        assert batch["x"].tolist() == [10, 11, 12, 10, 11, 12, 10]
        assert sorted(batch["source"].tolist()) == list(range(7))
    assert len({batch["source"].tobytes() for batch in rounds}) > ROUNDS - 3


def test_a_row_depends_on_its_index_alone() -> None:
    split, again = (Unpaired(x=np.arange(5), source=np.arange(4)) for _ in range(2))
    indices = np.random.default_rng(0).permutation(len(split)).reshape(4, -1)
    together = split.batch(indices)
    for row, block in enumerate(indices):
        for column, index in enumerate(block):
            alone = again.batch(np.array([index]))
            assert {name: part[row, column] for name, part in together.items()} == {
                name: part[0] for name, part in alone.items()
            }
