import torch

from src.training import rng


def test_key_is_pinned() -> None:
    """Published results depend on these: a change makes every run another run."""
    assert rng.key(0, "latent/0", 0) == 1038503890769057826
    assert rng.key(0, "order", 3) == 2664836214614632206


def test_streams_seeds_and_steps_differ() -> None:
    assert len({rng.key(seed, stream, step) for seed in (0, 1) for stream in "ab" for step in (0, 1)}) == 8


def test_a_draw_depends_on_its_key_alone() -> None:
    torch.rand(3, generator=rng.generator(0, "other"))
    first = torch.rand(5, generator=rng.generator(1, "latent", 7))
    torch.rand(100)
    assert torch.equal(first, torch.rand(5, generator=rng.generator(1, "latent", 7)))


def test_seed_layers_keys_dropout() -> None:
    dropout = torch.nn.Dropout(0.5)
    rng.seed_layers(0, step=5)
    first = dropout(torch.ones(64))
    torch.rand(17)
    rng.seed_layers(0, step=5)
    assert torch.equal(first, dropout(torch.ones(64)))
    rng.seed_layers(0, step=6)
    assert not torch.equal(first, dropout(torch.ones(64)))
