"""Many photos: the same answers as one by one, in order; their rows, and the command line."""

import csv
import io
import itertools
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skinapp import batch
from skinapp.batch import AHEAD, read_many
from skinapp.cli import main
from skinapp.lesions import CODES
from skinapp.network.classifier import BATCH, Classifier, load
from skinapp.network.folders import default_model
from skinapp.output.rows import COLUMNS, CsvTable, Row
from skinapp.photo.sources import Source, file_source
from skinapp.reading import Reading, read
from tests.drawings import jpeg


@pytest.fixture(scope="module")
def classifier(model_folder: Path) -> Classifier:
    return load(model_folder)


def archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name), data, method)
    return path


# Batches


def test_answers_are_those_of_one_by_one_in_order(classifier: Classifier, tmp_path: Path) -> None:
    photos = []
    for number in range(2 * AHEAD + 3):
        photos.append(tmp_path / f"{number}.jpg")
        photos[-1].write_bytes(b"broken" if number % 10 == 4 else jpeg(CODES[number % 7], number))
    results = list(read_many(map(file_source, photos), classifier))
    assert len(results) == len(photos)
    for photo, result in zip(photos, results, strict=True):
        if int(photo.stem) % 10 == 4:
            assert result == "This file is not a picture that can be read here: choose a JPEG or PNG photo."
            continue
        alone = read(photo, classifier)
        assert isinstance(result, Reading)
        np.testing.assert_allclose(result.prediction.probabilities, alone.prediction.probabilities, atol=1e-5)
        assert result.prediction.top == alone.prediction.top
        assert np.array_equal(np.asarray(result.square), np.asarray(alone.square))
        np.testing.assert_allclose(result.prediction.features, alone.prediction.features, atol=1e-4)
        np.testing.assert_allclose(result.saliency("mel").values, alone.saliency("mel").values, atol=1e-3)
    firsts = [r.prediction.probabilities[0] for r in results if isinstance(r, Reading)]
    assert np.ptp(firsts) > 0.01, "a network that says the same of everything proves nothing"


def test_the_shipped_network_says_the_same_of_a_batch(tmp_path: Path) -> None:
    shipped = load(default_model())
    photos = []
    for number in range(5):
        photos.append(tmp_path / f"{number}.jpg")
        photos[-1].write_bytes(jpeg(CODES[number], number))
    for photo, result in zip(photos, read_many(map(file_source, photos), shipped), strict=True):
        alone = read(photo, shipped)
        assert isinstance(result, Reading)
        np.testing.assert_allclose(result.prediction.probabilities, alone.prediction.probabilities, atol=1e-5)
        assert result.prediction.dermatoscopic_score == pytest.approx(alone.prediction.dermatoscopic_score)
        assert (result.held, result.checks) == (alone.held, alone.checks)


def test_no_more_than_a_few_photos_are_held_and_one_function_is_traced(classifier: Classifier) -> None:
    photo, drawn = jpeg(), 0

    def endless() -> Iterator[Source]:
        nonlocal drawn
        while True:
            drawn += 1
            yield Source("x", lambda: photo)

    results = read_many(endless(), classifier)
    for number, _ in enumerate(itertools.islice(results, 5 * BATCH + 1)):
        assert drawn <= number + AHEAD + BATCH
    before = threading.active_count()
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() < before, "its threads end with it"
    assert classifier.forward.experimental_get_tracing_count() == 1


def test_a_source_that_fails_in_its_own_way_does_not_end_the_others(classifier: Classifier) -> None:
    def exhausted() -> bytes:
        raise MemoryError

    good = Source("good", jpeg)
    results = list(read_many([good, Source("bad", exhausted), good], classifier))
    assert [isinstance(result, Reading) for result in results] == [True, False, True]
    assert "memory" in str(results[1])
    assert list(read_many([], classifier)) == []


# Rows and the command line


def test_rows_of_the_csv(classifier: Classifier) -> None:
    file = io.StringIO(newline="")
    table = CsvTable(file)
    reading = read(jpeg("mel"), classifier)
    table.write(Row.of("=1+1.jpg", reading))
    table.write(Row.of("b.jpg", "This is no photo."))
    first, second = csv.DictReader(io.StringIO(file.getvalue()))
    assert tuple(first) == COLUMNS
    assert first["image"] == "'=1+1.jpg", "no spreadsheet may take it for a formula"
    assert first["label"] == reading.top.code
    assert [float(first[f"p_{code}"]) for code in CODES] == pytest.approx(
        reading.prediction.probabilities, abs=1e-6
    )
    assert float(first["malignant"]) == pytest.approx(reading.probability("malignant"), abs=1e-6)
    assert first["set"].split() == [lesion.code for lesion in reading.held]
    assert first["error"] == ""
    assert second == dict.fromkeys(COLUMNS, "") | {"image": "b.jpg", "error": "This is no photo."}


def test_the_command_line_takes_folders_and_archives(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "one.jpg").write_bytes(jpeg("mel"))
    (folder / "labels.csv").write_text("image_id,dx\n")
    packed = archive(tmp_path / "packed.zip", {"two.jpg": jpeg("nv"), "../three.jpg": jpeg("nv")})
    table = tmp_path / "table.csv"
    arguments = [str(folder), str(packed), "--csv", str(table), "--model", str(model_folder)]
    assert main([*arguments, "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["file"] for line in lines] == [
        str(folder / "one.jpg"), "packed.zip/../three.jpg", "packed.zip/two.jpg"
    ]  # fmt: skip
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [line["file"] for line in lines]
    assert rows[0]["label"] == lines[0]["label"]
    assert float(rows[2]["p_nv"]) == pytest.approx(lines[2]["probabilities"]["nv"], abs=1e-6)
    assert rows[1]["error"] == lines[1]["error"]
    assert main([str(folder), "--csv", str(tmp_path), "--model", str(model_folder)]) == 2


def test_a_large_photo_does_not_wait_at_its_full_size(classifier: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (3000, 2000), "brown").save(path)
    prepared = batch._prepared(file_source(path), classifier)
    assert not isinstance(prepared, str)
    assert max(prepared.square.size) <= 512
