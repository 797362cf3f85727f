"""Pairs of near-identical photos: copies and other crops are found, two lesions in a black disc are not."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skinapp.photo.drawings import draw_lesion
from tests.drawings import write_dataset
from train.dataset import DUPLICATES
from train.duplicates import SIDE, find_pairs, main


def small(photo: Image.Image) -> np.ndarray:
    return np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.BOX))


def in_a_disc(picture: np.ndarray) -> np.ndarray:
    """The same with everything outside a disc black, as most photos of one of the sources show it."""
    axis = (np.arange(SIDE) + 0.5) * 2 / SIDE - 1
    inside = np.hypot(axis, axis[:, None]) < 0.5
    return np.where(inside[..., None], picture, 0).astype(np.uint8)


@pytest.fixture(scope="module")
def lesions() -> list[np.ndarray]:
    return [small(draw_lesion(code, seed, (200, 200))) for code in ("nv", "mel", "bkl") for seed in range(3)]


def test_a_copy_and_a_darker_copy_are_found(lesions: list[np.ndarray]) -> None:
    darker = (lesions[3] * 0.8).astype(np.uint8)
    pairs = find_pairs(np.stack([*lesions, lesions[0], darker]))
    assert {(one, other) for one, other, _ in pairs} >= {(0, 9), (3, 10)}


def test_two_lesions_in_a_black_disc_are_no_pair(lesions: list[np.ndarray]) -> None:
    discs = np.stack([in_a_disc(lesions[0]), in_a_disc(lesions[3]), in_a_disc(lesions[0])])
    assert [(one, other) for one, other, _ in find_pairs(discs)] == [(0, 2)]


def test_command_writes_the_pairs_of_different_lesions_and_a_sheet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_dataset(tmp_path / "own", 2, "own")
    one, other = (next(row for row in rows if row["dx"] == dx) for dx in ("mel", "nv"))
    images = tmp_path / "own" / "images"
    (images / f"{other['image_id']}.png").write_bytes((images / f"{one['image_id']}.png").read_bytes())
    to, sheet = tmp_path / "pairs.csv", tmp_path / "pairs.png"
    assert main(["--data", str(tmp_path / "own"), "--to", str(to), "--sheet", str(sheet)]) == 0
    with to.open(newline="") as file:
        found = [{row["image_id"], row["same_as"]} for row in csv.DictReader(file)]
    assert {one["image_id"], other["image_id"]} in found
    assert Image.open(sheet).width > 200
    assert "contradictory" in capsys.readouterr().out


def test_committed_pairs_name_two_photos_each() -> None:
    with DUPLICATES.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows and all(row["image_id"] != row["same_as"] for row in rows)
