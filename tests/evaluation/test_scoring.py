import numpy as np

from src.evaluation.scoring import subset


def test_fewer_samples_are_drawn_by_seed() -> None:
    assert subset(5, None, 0, "scored").tolist() == subset(5, 9, 0, "scored").tolist() == [0, 1, 2, 3, 4]
    drawn = subset(1000, 10, 0, "scored")
    assert len(set(drawn)) == 10
    assert drawn.tolist() == sorted(drawn)
    assert np.array_equal(drawn, subset(1000, 10, 0, "scored"))
    assert not np.array_equal(drawn, subset(1000, 10, 1, "scored"))
