"""Reading labelled photos, naming all that is wrong with them, and splitting by lesion."""

import csv
import random
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skinapp.lesions import CODES
from skinapp.photo.preprocess import to_pixels
from tests.drawings import read_split, write_dataset, write_labels
from train.dataset import (
    FIRST_SOURCE,
    PARTS,
    SHOWN_IDS,
    VALIDATION_SHARE,
    Dataset,
    DatasetError,
    Record,
    load_dataset,
    load_labelled,
    load_photos,
    main,
    read_records,
    read_sources,
    split_lesions,
    write_split,
)

ROOT = Path(__file__).parent.parent
HAM10000 = ROOT.parent / "shared" / "data" / "ham10000"


def small(image: Image.Image) -> np.ndarray:
    return to_pixels(image, 8, "box")


def load(folder: Path) -> Dataset:
    return load_dataset(folder, small)


def records(lesions: dict[str, int], images: int = 2) -> list[Record]:
    """Records without photos: so many lesions a class, each with so many images."""
    return [
        Record(f"{dx}-{lesion}-{image}", f"{dx}-{lesion}", dx, Path("none"))
        for dx, number in lesions.items()
        for lesion in range(number)
        for image in range(images)
    ]


@pytest.mark.parametrize("layout", ["flat", "publisher", "own"])
def test_layout_is_read_whole(layout: str, tmp_path: Path) -> None:
    rows = write_dataset(tmp_path, 2, layout)
    dataset = load(tmp_path)
    assert [(r.image_id, r.lesion_id, r.dx) for r in dataset.records] == [
        (row["image_id"], row["lesion_id"], row["dx"]) for row in rows
    ]
    assert [CODES[label] for label in dataset.labels] == [row["dx"] for row in rows]
    assert dataset.pictures.shape == (len(rows), 8, 8, 3) and dataset.pictures.dtype == np.uint8
    for record, picture in zip(dataset.records, dataset.pictures, strict=True):
        assert record.path.stem == record.image_id
        assert np.array_equal(picture, small(Image.open(record.path).convert("RGB")))


def test_publishers_details_are_kept(tmp_path: Path) -> None:
    row = write_dataset(tmp_path, 1)[0]
    record = load(tmp_path).records[0]
    assert (record.dx_type, record.age, record.sex, record.localization) == (
        row["dx_type"], row["age"], row["sex"], row["localization"]
    )  # fmt: skip


def test_label_file_may_name_files_and_write_dx_in_capitals(tmp_path: Path) -> None:
    rows = write_dataset(tmp_path, 1, "own")
    changed = [row | {"image_id": row["image_id"] + ".png", "dx": row["dx"].upper()} for row in rows]
    write_labels(tmp_path / "metadata.csv", changed)
    assert [record.dx for record in load(tmp_path).records] == [row["dx"] for row in rows]


def test_label_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    write_dataset(tmp_path, 1, "own")
    labels = tmp_path / "metadata.csv"
    labels.write_bytes(b"\xef\xbb\xbf" + labels.read_bytes())  # as Excel saves it
    assert len(load(tmp_path).records) == 14


def spoil(folder: Path, fault: str) -> str:
    """Put one fault into a drawn data set of two lesions a class. Returns what the error must say."""
    labels, images = folder / "HAM10000_metadata.csv", folder / "images"
    with labels.open(newline="") as file:
        rows = list(csv.DictReader(file))
    row = next(row for row in rows if row["dx"] == fault_class(fault))
    path, said = images / f"{row['image_id']}.jpg", row["image_id"]
    if fault == "labels without an image":
        path.unlink()
    elif fault == "images without a label":
        rows.remove(row)
    elif fault == "image ids that are labelled twice":
        rows.append(row)
    elif fault == "images that are there twice":
        Image.new("RGB", (100, 100)).save(path.with_suffix(".png"))
    elif fault == "unreadable images":
        path.write_bytes(path.read_bytes()[:500])
    elif fault == "images without a dx":
        row["dx"] = ""
    elif fault == "unknown dx":
        row["dx"] = "scc"
        said += " (scc)"
    elif fault == "lesions with two different dx":
        row["dx"] = "vasc"
        said = row["lesion_id"]
    write_labels(labels, rows)
    return said


FAULTS = (
    "labels without an image",
    "images without a label",
    "image ids that are labelled twice",
    "images that are there twice",
    "unreadable images",
    "images without a dx",
    "unknown dx",
)  # and one more below; each spoils another class, so that all fit into one data set


def fault_class(fault: str) -> str:
    return CODES[FAULTS.index(fault)] if fault in FAULTS else CODES[0]


@pytest.mark.parametrize("fault", [*FAULTS, "lesions with two different dx"])
def test_fault_is_named_with_its_culprit(fault: str, tmp_path: Path) -> None:
    write_dataset(tmp_path, 2)
    culprit = spoil(tmp_path, fault)
    with pytest.raises(DatasetError) as caught:
        load(tmp_path)
    (line,) = str(caught.value).splitlines()[1:]
    assert line.startswith(f"  1 {fault}") and culprit in line


def test_all_faults_come_in_one_error(tmp_path: Path) -> None:
    write_dataset(tmp_path, 2)
    culprits = [spoil(tmp_path, fault) for fault in FAULTS]
    with pytest.raises(DatasetError) as caught:
        load(tmp_path)
    for fault, culprit in zip(FAULTS, culprits, strict=True):
        assert any(f"1 {fault}" in line and culprit in line for line in str(caught.value).splitlines()[1:])


def test_records_are_read_without_their_photos(tmp_path: Path) -> None:
    write_dataset(tmp_path, 2)
    whole = load(tmp_path).records
    culprit = spoil(tmp_path, "unreadable images")
    assert read_records(tmp_path) == whole
    (spoilt,) = (record for record in whole if record.image_id == culprit)
    with pytest.raises(DatasetError, match=f"{culprit} cannot be read. This picture is damaged"):
        spoilt.photo()
    faults = [fault for fault in FAULTS if fault != "unreadable images"]
    culprits = [spoil(tmp_path, fault) for fault in faults]
    with pytest.raises(DatasetError) as caught:
        read_records(tmp_path)
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == len(faults) and all(name in str(caught.value) for name in culprits)


def test_lesion_of_two_dx_is_counted_once(tmp_path: Path) -> None:
    rows = write_dataset(tmp_path, 2, "own")
    for row, dx in zip(rows, ("mel", "nv", "nv", "bcc"), strict=False):
        row.update(lesion_id="one", dx=dx)
    write_labels(tmp_path / "metadata.csv", rows)
    with pytest.raises(DatasetError, match="  1 lesions with two different dx: one$"):
        load(tmp_path)


def test_all_culprits_are_named(tmp_path: Path) -> None:
    rows = write_dataset(tmp_path, 4, "own")
    for row in rows:
        (tmp_path / "images" / f"{row['image_id']}.png").unlink()
    with pytest.raises(DatasetError, match=f"{len(rows)} labels without an image") as fault:
        load(tmp_path)
    said = str(fault.value)
    assert (
        sum(row["image_id"] in said for row in rows) == SHOWN_IDS
        and f"and {len(rows) - SHOWN_IDS} more" in said
    )
    listed = Path(said.rsplit("listed in ", 1)[1].rstrip("."))
    assert all(row["image_id"] in listed.read_text(encoding="utf-8") for row in rows)
    listed.unlink()


def test_photos_that_are_too_small_are_one_kind_of_fault(tmp_path: Path) -> None:
    rows = write_dataset(tmp_path, 1, "own", size=(70, 90))
    with pytest.raises(DatasetError, match=f"{len(rows)} unreadable images") as fault:
        load(tmp_path)
    assert len(str(fault.value)) < 600
    records = read_sources([tmp_path], smallest=64)
    assert len(load_photos(records, small).records) == len(rows)


@pytest.mark.parametrize("lesions", [1, 2, 3, 4, 8, 9, 12, 13])
def test_small_classes_keep_something_to_learn_from(lesions: int, tmp_path: Path) -> None:
    write_dataset(tmp_path, lesions, size=(100, 100))
    split = split_lesions(load(tmp_path).records)
    parts = list(split.values())
    assert parts.count("train") == 7 * (lesions - min(2, lesions - 1))
    assert parts.count("report") == (7 if lesions > 2 else 0)


@pytest.mark.parametrize(
    "content, said",
    [
        (b"image_id,lesion_id\nISIC_0000000,a\n", "needs a column dx"),
        (b"a;b\n1;2\n", "its columns are a, b"),
        (b"", "needs a column dx"),
        (b"image_id,dx\n", "without a label"),
        ("image_id,dx\nISIC_0000000,männlich\n".encode("latin-1"), "unknown dx.*m.nnlich"),
    ],
)
def test_unusable_label_file(content: bytes, said: str, tmp_path: Path) -> None:
    write_dataset(tmp_path, 1, "own")
    (tmp_path / "metadata.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=said):
        load(tmp_path)


def test_folder_without_label_file_or_photos(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="HAM10000_metadata.csv"):
        load(tmp_path)
    (tmp_path / "metadata.csv").write_text("image_id,dx\n")
    with pytest.raises(DatasetError, match="no photos to read"):
        load(tmp_path)


def test_without_lesion_ids_every_image_is_its_own_lesion_and_a_warning_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_dataset(tmp_path, 2, "own")
    write_labels(tmp_path / "metadata.csv", [{"image_id": row["image_id"], "dx": row["dx"]} for row in rows])
    assert all(record.lesion_id == record.image_id for record in load(tmp_path).records)
    assert "has no lesion_id" in capsys.readouterr().err


def test_with_lesion_ids_there_is_no_warning(
    dataset_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(dataset_folder)
    assert "warning" not in capsys.readouterr().err


def test_labelled_photos_may_be_some_of_a_folder_and_some_of_a_table(tmp_path: Path) -> None:
    rows = [row | {"part": PARTS[i % 3]} for i, row in enumerate(write_dataset(tmp_path, 2, "own"))]
    write_labels(tmp_path / "some.csv", rows[:10])
    assert len(load_labelled(tmp_path / "images", tmp_path / "some.csv", small).records) == 10
    report = load_labelled(tmp_path / "images", tmp_path / "some.csv", small, part="report")
    assert [record.image_id for record in report.records] == [row["image_id"] for row in rows[2:10:3]]


@pytest.mark.parametrize("layout", ["flat", "publisher", "own"])
def test_labelled_photos_are_found_in_every_layout(layout: str, tmp_path: Path) -> None:
    rows = write_dataset(tmp_path, 1, layout)
    write_labels(tmp_path / "some.csv", rows[3:9])
    found = load_labelled(tmp_path, tmp_path / "some.csv", small).records
    assert [record.image_id for record in found] == [row["image_id"] for row in rows[3:9]]


def test_part_that_no_row_has(tmp_path: Path) -> None:
    write_dataset(tmp_path, 1, "own")
    with pytest.raises(DatasetError, match="labels no image"):
        load_labelled(tmp_path / "images", tmp_path / "metadata.csv", small, part="report")


MIX = {"akiec": 36, "bcc": 60, "bkl": 120, "df": 12, "mel": 96, "nv": 600, "vasc": 24}


def test_no_lesion_is_in_two_parts() -> None:
    chosen = records(MIX)
    split = split_lesions(chosen)
    dataset = Dataset(tuple(chosen), np.zeros((len(chosen), 1, 1, 3), np.uint8))
    parts = [{record.lesion_id for record in dataset.part(split, part).records} for part in PARTS]
    assert sum(map(len, parts)) == len(set.union(*parts)) == sum(MIX.values())


def test_parts_have_their_share_of_every_class() -> None:
    split = split_lesions(records(MIX))
    counts = Counter((lesion.split("-")[0], part) for lesion, part in split.items())
    for dx, number in MIX.items():
        assert [counts[dx, part] for part in PARTS] == [number * 5 // 6, number // 12, number // 12]


def test_split_depends_on_the_seed_alone() -> None:
    chosen = records(MIX)
    shuffled = random.Random(3).sample(chosen, len(chosen))
    assert split_lesions(chosen) == split_lesions(shuffled)
    assert split_lesions(chosen, seed=1) != split_lesions(chosen, seed=2)


def test_split_is_a_shuffle() -> None:
    """Lesions are numbered by when they were taken: the first twelfth of them must not be one part."""
    split = split_lesions(records({"nv": 600}))
    tuned = [int(lesion.split("-")[1]) for lesion, part in split.items() if part == "tune"]
    assert 200 < np.mean(tuned) < 400


def test_more_lesions_of_one_class_leave_the_others_where_they_are() -> None:
    before, after = split_lesions(records(MIX)), split_lesions(records(MIX | {"mel": 105}))
    assert all(after[lesion] == part for lesion, part in before.items() if not lesion.startswith("mel"))


def of_sources(mix: dict[str, int], *names: str) -> list[Record]:
    """The same mix from each source, its lesions under names of their own."""
    return [
        replace(
            record, source=name, lesion_id=f"{name}-{record.lesion_id}", image_id=f"{name}-{record.image_id}"
        )
        for name in names
        for record in records(mix)
    ]


def test_first_source_is_split_as_if_it_were_alone() -> None:
    several = of_sources(MIX, "other", FIRST_SOURCE, "third")
    alone = [record for record in several if record.source == FIRST_SOURCE]
    split = split_lesions(several)
    assert {record.lesion_id: split[record.lesion_id] for record in alone} == split_lesions(alone)
    others = Counter(split[record.lesion_id] for record in several if record.source != FIRST_SOURCE)
    assert 0.8 < others["train"] / others.total() < 0.86


def test_a_source_more_or_less_leaves_most_lesions_where_they_are() -> None:
    all_three = split_lesions(of_sources(MIX, FIRST_SOURCE, "second", "third"))
    two = split_lesions(of_sources(MIX, FIRST_SOURCE, "second"))
    moved = sum(all_three[lesion] != part for lesion, part in two.items())
    assert moved < 0.08 * len(two)


def sources(folder: Path) -> list[Path]:
    """Two data sets of the same photos under the same ids, those of the second one larger."""
    for name, size in (("one", (100, 100)), ("two", (120, 120))):
        write_dataset(folder / name, 2, "own", size=size)
    return [folder / "one", folder / "two"]


def test_a_photo_in_two_sources_counts_once_by_its_larger_copy(tmp_path: Path) -> None:
    folders = sources(tmp_path)
    found = read_sources(folders, duplicates=tmp_path / "none")
    assert len({record.image_id for record in found}) == len(found) == len(read_records(folders[0]))
    assert {record.source for record in found} == {"two"}


def test_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    folders = [tmp_path / "a" / "same", tmp_path / "b" / "same"]
    for folder in folders:
        write_dataset(folder, 1, "own")
    with pytest.raises(DatasetError, match="same name"):
        read_sources(folders)


def test_duplicates_become_one_lesion_and_contradictions_go(tmp_path: Path) -> None:
    rows = write_dataset(tmp_path / "own", 2, "own")
    nevi = [row for row in rows if row["dx"] == "nv"]
    one = nevi[0]
    other = next(row for row in nevi if row["lesion_id"] != one["lesion_id"])
    melanoma, keratosis = (next(row for row in rows if row["dx"] == dx) for dx in ("mel", "bkl"))
    pairs = [(one, other), (melanoma, keratosis)]
    with (tmp_path / "pairs.csv").open("w") as file:
        file.write("image_id,same_as\n" + "".join(f"{a['image_id']},{b['image_id']}\n" for a, b in pairs))
    found = {r.image_id: r for r in read_sources([tmp_path / "own"], duplicates=tmp_path / "pairs.csv")}
    assert found[one["image_id"]].lesion_id == found[other["image_id"]].lesion_id
    assert rows and {melanoma["image_id"], keratosis["image_id"]} == {row["image_id"] for row in rows} - set(
        found
    )


def test_what_is_done_with_scc_is_a_choice(tmp_path: Path) -> None:
    rows = write_dataset(tmp_path / "own", 2, "own")
    write_labels(
        tmp_path / "own" / "metadata.csv",
        [row | {"dx": "scc" if row["dx"] == "akiec" else row["dx"]} for row in rows],
    )
    left = read_sources([tmp_path / "own"], scc="leave-out")
    counted = read_sources([tmp_path / "own"], scc="akiec")
    assert "akiec" not in {record.dx for record in left} and len(counted) == len(rows)
    with pytest.raises(DatasetError, match="unknown dx"):
        read_records(tmp_path / "own")


def test_split_file_gives_the_split_back(tmp_path: Path) -> None:
    chosen = records(MIX)
    write_split(tmp_path / "split.csv", chosen, split_lesions(chosen))
    assert read_split(tmp_path / "split.csv") == split_lesions(chosen)


def test_committed_split_has_whole_lesions_of_every_class_in_every_part() -> None:
    with (ROOT / "model" / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    split = read_split(ROOT / "model" / "split.csv")
    assert len({row["image_id"] for row in rows}) == len(rows)
    dx_of = {row["lesion_id"]: row["dx"] for row in rows}
    assert all(
        dx_of[row["lesion_id"]] == row["dx"] and split[row["lesion_id"]] == row["part"] for row in rows
    )
    first = {row["lesion_id"] for row in rows if row["source"] == FIRST_SOURCE}
    for group in (first, dx_of.keys() - first):  # drawn one after the other
        lesions = Counter(dx_of[lesion] for lesion in group)
        counts = Counter((dx_of[lesion], split[lesion]) for lesion in group)
        for dx in CODES:
            held = round(lesions[dx] * VALIDATION_SHARE)
            assert [counts[dx, part] for part in PARTS] == [lesions[dx] - held, held - held // 2, held // 2]


@pytest.mark.skipif(not HAM10000.is_dir(), reason="HAM10000 is not beside the repository")
def test_committed_split_is_what_the_code_makes_of_ham10000() -> None:
    with (HAM10000 / "HAM10000_metadata.csv").open(newline="") as file:
        chosen = [Record(r["image_id"], r["lesion_id"], r["dx"], Path("none")) for r in csv.DictReader(file)]
    with (ROOT / "model" / "split.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == FIRST_SOURCE]
    committed = {row["image_id"]: row["part"] for row in rows}
    split = split_lesions(chosen)
    assert committed == {record.image_id: split[record.lesion_id] for record in chosen}


def test_command_writes_the_split(
    dataset_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(dataset_folder), "--to", str(tmp_path / "split.csv")]) == 0
    assert Counter(read_split(tmp_path / "split.csv").values()) == {"train": 49, "tune": 7, "report": 7}
    assert "train: 49 lesions" in capsys.readouterr().out


def test_command_names_the_fault(
    dataset_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for data, to, said in (
        (tmp_path / "nowhere", tmp_path / "split.csv", "nowhere has none of"),
        (dataset_folder, tmp_path / "no folder" / "split.csv", "No such file or directory"),
    ):
        assert main(["--data", str(data), "--to", str(to)]) == 1
        assert said in capsys.readouterr().err


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    for name in ("mel/a.jpg", "Basal cell carcinoma/b.JPG", "NV/c.jpg", "notes/d.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    assert {record.image_id: record.dx for record in read_records(tmp_path)} == {
        "a": "mel",
        "b": "bcc",
        "c": "nv",
    }


@pytest.mark.parametrize("name", ["HAM10000_metadata.tab", "metadata.csv"])
def test_labels_as_publishers_write_them(tmp_path: Path, name: str) -> None:
    """Tabs and quotes, names of files, other letters' forms than the disk has."""
    (tmp_path / "images").mkdir()
    for photo in ("ISIC_1.jpg", unicodedata.normalize("NFD", "Müller.jpg")):
        (tmp_path / "images" / photo).write_bytes(b"")
    (tmp_path / name).write_text(
        'lesion_id\tImage_ID\tdx\tage\n"L1"\t"ISIC_1"\t"MEL"\t60.0\n"L2"\tMüller.jpg\tnevus\t\n'
    )
    one, other = read_records(tmp_path)
    assert (one.image_id, one.lesion_id, one.dx, one.age) == ("ISIC_1", "L1", "mel", "60.0")
    assert (other.image_id, other.dx) == ("Müller", "nv") and other.path.exists()
