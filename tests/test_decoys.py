"""Drawn pictures that are no dermatoscopic photo."""

import numpy as np
import pytest

from train.data.decoys import DECOYS, draw_decoy, in_room_light


@pytest.mark.parametrize("kind", DECOYS)
def test_every_thing_of_a_kind_is_drawn_alike_for_like_seeds_and_unlike_the_others(kind: str) -> None:
    seeds = range(len(DECOYS[kind]) + 1)
    drawn = [np.asarray(draw_decoy(kind, seed, 96)) for seed in seeds]
    assert {picture.shape for picture in drawn} == {(96, 96, 3)}
    np.testing.assert_array_equal(drawn[1], draw_decoy(kind, 1, 96))
    assert len({picture.tobytes() for picture in drawn}) == len(drawn)


@pytest.mark.parametrize("kind", ["clinical close-ups, drawn", "round brown things, drawn"])
def test_a_thing_stands_out_from_its_surroundings(kind: str) -> None:
    for seed in range(6):
        grey = np.asarray(draw_decoy(kind, seed, 96).convert("L"), float)
        assert np.ptp(grey) > 30


def test_room_light_is_uneven_and_leaves_the_lesion() -> None:
    photo = np.full((94, 94, 3), 150, np.uint8)
    photo[30:60, 30:60] = 60
    lit = in_room_light(photo, np.random.default_rng(0))
    assert lit.dtype == np.uint8 and lit.shape == photo.shape
    sides = [lit[:, :10].mean(), lit[:, -10:].mean(), lit[:10].mean(), lit[-10:].mean()]
    assert max(sides) - min(sides) > 20
    assert np.median(lit[30:60, 30:60]) < 80 < np.median(lit)
