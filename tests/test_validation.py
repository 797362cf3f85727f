"""What validation.csv holds: each photo's facts, the lesion's area by its mask, and the network's own logits."""

from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from PIL import Image

from skinapp.lesions import CODES
from skinapp.network.classifier import Classifier
from skinapp.photo.preprocess import to_pixels
from tests.drawings import write_dataset
from train.dataset import Dataset, load_dataset, load_photos, read_records, read_sources, split_lesions
from train.validation import FILE, Photo, Validation, main, mask_file, read_validation, write_validation


def to_network(image: Image.Image) -> np.ndarray:
    return to_pixels(image, 94, "bicubic")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set, to which tests may add masks."""
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder, 3)
    return folder


@pytest.fixture(scope="module")
def seen(data: Path) -> dict[str, Dataset]:
    dataset = load_dataset(data, to_network)
    split = split_lesions(dataset.records)
    return {part: dataset.part(split, part) for part in ("tune", "report")}


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    return Path(copytree(model_folder, tmp_path / "model"))


def draw_mask(data: Path, image_id: str, share: float) -> None:
    """White is the left `share` of the centre square of 112 pixels, and all that lies left of the square."""
    (data / "masks").mkdir(exist_ok=True)
    mask = np.zeros((112, 150), np.uint8)
    mask[:, : 19 + round(112 * share)] = 255
    Image.fromarray(mask).save(data / "masks" / f"{image_id}.png")


def test_what_is_written_is_what_is_read(folder: Path, seen: dict[str, Dataset]) -> None:
    write_validation(folder, seen)
    validation = read_validation(folder)
    records = [(part, record) for part, dataset in seen.items() for record in dataset.records]
    assert len(validation.photos) == len(records) > 14
    for photo, (part, record) in zip(validation.photos, records, strict=True):
        assert photo == Photo(
            record.image_id, record.lesion_id, record.dx, part, record.dx_type, record.age, record.sex,
            record.localization, "",
        )  # fmt: skip
    assert {photo.dx_type for photo in validation.photos} == {"histo"}
    assert {photo.sex for photo in validation.photos} <= {"female", "male"}
    expected = Classifier(folder).logits(np.concatenate([dataset.pictures for dataset in seen.values()]))
    np.testing.assert_allclose(validation.logits, expected, atol=1e-3)


def test_columns_are_the_photo_s_facts_and_the_classes(folder: Path, seen: dict[str, Dataset]) -> None:
    write_validation(folder, seen)
    heading = (folder / FILE).read_text(encoding="utf-8").splitlines()[0]
    assert heading.split(",")[:4] == ["image_id", "lesion_id", "dx", "part"]
    assert heading.split(",")[-9:] == ["area", "source", *CODES]


def test_facts_may_be_missing_or_hold_commas_and_umlauts(folder: Path, seen: dict[str, Dataset]) -> None:
    tune = seen["tune"]
    odd = [replace(tune.records[0], sex="", age="", dx_type="", localization='Fuß, "links"\nunten')]
    write_validation(folder, {"tune": Dataset((*odd, *tune.records[1:]), tune.pictures)})
    photo = read_validation(folder).photos[0]
    assert photo.localization == 'Fuß, "links"\nunten'
    assert (photo.sex, photo.age, photo.dx_type, photo.area) == ("", "", "", "")


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_area_is_the_lesion_s_share_of_the_centre_square(
    share: float, folder: Path, data: Path, seen: dict[str, Dataset]
) -> None:
    first, second = seen["tune"].records[:2]
    draw_mask(data, first.image_id, share)
    assert mask_file(first) == data / "masks" / f"{first.image_id}.png"
    assert mask_file(second) is None
    write_validation(folder, {"tune": seen["tune"]})
    photos = read_validation(folder).photos
    assert float(photos[0].area) == pytest.approx(share, abs=0.01)
    assert photos[1].area == ""


def test_parts_labels_and_lesions_go_with_their_rows() -> None:
    photos = tuple(
        Photo(str(i), f"lesion_{i // 2}", CODES[i % 7], ("tune", "report")[i % 3 == 0], "", "", "", "", "")
        for i in range(10)
    )
    validation = Validation(photos, np.arange(70.0).reshape(10, 7))
    report = validation.part("report")
    assert report.photos == tuple(photos[i] for i in (0, 3, 6, 9))
    np.testing.assert_array_equal(report.logits[:, 0], [0, 21, 42, 63])
    np.testing.assert_array_equal(report.labels, [0, 3, 6, 2])
    assert report.lesion_ids == ["lesion_0", "lesion_1", "lesion_3", "lesion_4"]
    assert set(report.parts) == {"report"}
    assert len(validation.part("tune").photos) == 6


def test_a_folder_without_validation_photos_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=FILE):
        read_validation(tmp_path)


def test_command_writes_what_training_writes(folder: Path, dataset_folder: Path) -> None:
    dataset = load_photos(read_sources([dataset_folder]), to_network)
    split = split_lesions(dataset.records)
    write_validation(folder, {part: dataset.part(split, part) for part in ("tune", "report")})
    before = (folder / FILE).read_bytes()
    (folder / FILE).unlink()
    assert main(["--data", str(dataset_folder), "--model", str(folder)]) == 0
    assert (folder / FILE).read_bytes() == before


def test_command_opens_no_photo_of_train_lesions(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    write_dataset(data, 3)
    everything = read_records(data)
    split = split_lesions(everything)
    for part, status in (("train", 0), ("tune", 1)):
        spoilt = next(record for record in everything if split[record.lesion_id] == part)
        spoilt.path.write_bytes(b"no photo")
        assert main(["--data", str(data), "--model", str(folder)]) == status
    assert f"): {spoilt.image_id}" in capsys.readouterr().err


def test_command_says_in_one_sentence_what_is_wrong(
    folder: Path, dataset_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for data, model, said in (
        (tmp_path / "nowhere", folder, "none of HAM10000_metadata.csv"),
        (dataset_folder, tmp_path / "nowhere", "no model folder"),
    ):
        assert main(["--data", str(data), "--model", str(model)]) == 1
        error = capsys.readouterr().err.strip()
        assert said in error and len(error.splitlines()) == 1
