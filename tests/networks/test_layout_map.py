"""Maps of layouts: which object a pixel belongs to, where in its box it lies, and what an empty layout is."""

import torch

from pictures import LaidOutShapes
from src.networks.layout_map import LayoutMap

SPEC = LaidOutShapes().spec


def maps(*objects: tuple[float, ...]) -> torch.Tensor:
    torch.manual_seed(0)
    with torch.no_grad():
        return LayoutMap(SPEC, 4)(torch.tensor([[*objects]]).view(1, -1, 5), 8, 8)[0]  # [4, 8, 8]


def test_a_pixel_has_the_vector_of_its_object_and_its_place() -> None:
    found, ground = maps((0, 0.25, 0.5, 0.5, 0.25)), maps((0, 0.0, 0.0, 0.0, 0.0))
    assert torch.equal(ground, ground[:, :1, :1].expand(-1, 8, 8))
    outside = torch.ones(8, 8, dtype=torch.bool)
    outside[4:6, 2:6] = False
    assert torch.equal(found[:, outside], ground[:, outside])
    inside = found[:, 4:6, 2:6].flatten(1).T
    assert len(torch.unique(inside, dim=0)) == 8
    assert not torch.allclose(inside, maps((1, 0.25, 0.5, 0.5, 0.25))[:, 4:6, 2:6].flatten(1).T)
    moved = maps((0, 0.5, 0.0, 0.5, 0.25))
    torch.testing.assert_close(moved[:, 0:2, 4:8], found[:, 4:6, 2:6])


def test_the_last_of_two_objects_is_in_front_and_boxes_without_width_are_none() -> None:
    behind, front = (0, 0.0, 0.0, 0.5, 0.5), (1, 0.25, 0.25, 0.5, 0.5)
    both = maps(behind, front, (0, 0.0, 0.0, 0.0, 0.0))
    torch.testing.assert_close(both[:, 2:6, 2:6], maps(front)[:, 2:6, 2:6])
    torch.testing.assert_close(both[:, :2], maps(behind)[:, :2])
