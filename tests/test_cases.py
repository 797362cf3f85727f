"""The photos that travel with the program, and the command that chose them."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from skinapp.lesions import CODES
from skinapp.network.folders import MODELS
from skinapp.photo.cases import FOLDER, LIST, cases, first_of_each
from train.data.cases import choose, write_cases
from train.dataset import Record


def test_ten_of_each_class_none_of_which_the_network_has_learned_from() -> None:
    with (MODELS / "split.csv").open(newline="", encoding="utf-8") as file:
        split = {row["image_id"]: row for row in csv.DictReader(file)}
    photos = [case for case in cases() if case.dx]
    assert Counter(case.dx for case in photos) == dict.fromkeys(CODES, 10)
    assert all(split[case.id]["part"] != "train" and split[case.id]["dx"] == case.dx for case in photos)
    assert len({split[case.id]["lesion_id"] for case in photos}) == len(photos)
    assert [case.dx for case in first_of_each()] == [*CODES, ""]


def test_every_picture_is_small_and_says_whose_it_is() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {LIST} | {f"{case.id}.jpg" for case in cases()}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_200_000
    for case in cases():
        with Image.open(case.path) as picture:
            assert max(picture.size) <= 256 and not picture.getexif()
        assert case.licence in ("CC BY-NC 4.0", "CC0 1.0") and case.attribution in case.origin


def records(folder: Path) -> list[Record]:
    """Three photos of each of twelve lesions a class, half of the lesions known by histology."""
    found = []
    for number, code in enumerate(CODES):
        for lesion in range(12):
            for photo in range(3):
                name = f"ISIC_{number}{lesion:02}{photo}"
                path = folder / f"{name}.jpg"
                known = "histo" if lesion % 2 else "consensus"
                found.append(Record(name, f"{code}{lesion}", code, path, known, "50.0", "male", "back"))
    return found


def test_the_command_prefers_histology_and_takes_one_photo_of_a_lesion(tmp_path: Path) -> None:
    everything = records(tmp_path)
    train = {record.image_id for record in everything if record.lesion_id.endswith("11")}
    chosen = choose(everything, train)
    assert chosen == choose(everything, train), "the seed decides"
    assert chosen != choose(everything, train, seed=1)
    assert not train & {record.image_id for record in chosen}
    for code in CODES:
        own = [record for record in chosen if record.dx == code]
        assert len(own) == len({record.lesion_id for record in own}) == 10
        assert [record.dx_type for record in own] == ["histo"] * 5 + ["consensus"] * 5


def test_large_photos_are_reduced_and_small_ones_are_copied(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    small, large = records(tmp_path / "data")[:2]
    Image.new("RGB", (200, 200), "tan").save(small.path)
    Image.new("RGB", (600, 450), "tan").save(large.path)
    write_cases([small, large], tmp_path / "cases")
    assert (tmp_path / "cases" / small.path.name).read_bytes() == small.path.read_bytes()
    with Image.open(tmp_path / "cases" / large.path.name) as reduced:
        assert reduced.size == (256, 256)
    listed = json.loads((tmp_path / "cases" / LIST).read_text(encoding="utf-8"))
    assert [entry["id"] for entry in listed] == [small.image_id, large.image_id, "scene"]


def test_a_class_without_photos_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no vasc outside train"):
        choose([record for record in records(tmp_path) if record.dx != "vasc"], set())
