"""The dx that comes along with many photos."""

import io
import unicodedata

import numpy as np
import pytest
from sklearn import metrics

from skinapp.labels import (
    Labels,
    LabelsError,
    agreement,
    diagnosis_of,
    labels_among,
    read_labels,
    read_table,
)
from skinapp.lesions import CODES
from skinapp.output.rows import Row
from skinapp.photo.sources import Source


def row(name: str, code: str, share: float = 0.7) -> Row:
    rest = (1 - share) / (len(CODES) - 1)
    return Row(name, "", tuple(share if c == code else rest for c in CODES), 0.5, (code,))


SAME = {"ISIC_1": "mel", "ISIC_2": "nv"}
ONE_HOT = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC\nISIC_1,1.0,0,0,0,0,0,0,0\nISIC_2.jpg,0.0,1,0,0,0,0,0,0\n"
ISIC = (
    "isic_id,attribution,diagnosis_1,diagnosis_2,diagnosis_3,diagnosis_4\n"
    'ISIC_1,"Nobody, nowhere",Malignant,"Malignant melanocytic proliferations (Melanoma)",Melanoma Invasive,"Melanoma, NOS"\n'
    "ISIC_2,Nobody,Benign,Benign melanocytic proliferations,Nevus,\n"
)
TABLES: dict[str, bytes] = {
    "plain": b"image_id,dx\nISIC_1,mel\nISIC_2,nv\n",
    "semicolons and UTF-8 with its mark": "\ufefflesion_id;image_id;dx;age\r\nL;ISIC_1;mel;4\r\nL;ISIC_2; NV;5\r\n".encode(),
    "tabs": b"dx\tFile\nmel\tISIC_1.JPG\nnv\tISIC_2.jpg\nnv\t\n\tISIC_3\n",
    "quotes, and one photo twice": b'image,dx\n"ISIC_1",mel\nISIC_2.png,nv\nISIC_2,nv\n',
    "UTF-16": "Image ID,DX\nISIC_1,mel\nISIC_2,nv\n".encode("utf-16"),
    "UTF-16 without its mark": "image_id,dx\nISIC_1,mel\nISIC_2,nv\n".encode("utf-16-le"),
    "a line that names the separator": b"sep=;\r\nimage_id;dx\r\nISIC_1;mel\r\nISIC_2;nv\r\n",
    "a title above": b"Labels of ward 3, 2026\n\nISIC-ID;Diagnosis\nISIC_1;Melanoma\nISIC_2;Melanocytic naevus\n",
    "line ends of old Macs": b"filename,label\rISIC_1.tif,MEL\rISIC_2.tif,NV\r",
    "HAM10000": b'lesion_id\timage_id\tdx\tdx_type\n"H"\t"ISIC_1"\t"mel"\t"histo"\n"H"\t"ISIC_2"\t"nv"\t"histo"\n',
    "classes as columns": ONE_HOT.encode(),
    "the archive of the ISIC": ISIC.encode(),
    "a diagnosis and its code": b"image_id,diagnosis,dx\nISIC_1,no idea,mel\nISIC_2,mole,nv\n",
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_publishers_and_offices_are_understood(kind: str) -> None:
    assert read_labels(TABLES[kind]) == Labels(SAME)


def test_windows_1252_is_said_in_one_line() -> None:
    found = read_labels("image_id;dx;Ort\nISIC_1;mel;Rücken\nISIC_2;nv;Rücken\n".encode("cp1252"))
    assert found.dx == SAME and len(found.notes) == 1 and "Windows-1252" in found.notes[0]
    assert read_table("image_id,dx,Ort\nÄ,mel,Rücken".encode("cp1252")).rows[0]["ort"] == "Rücken"


def test_a_workbook_is_read() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in (
        ["Labels of ward 3"],
        ["image_id", "dx", "age"],
        ["ISIC_1", "mel", 60],
        ["ISIC_2", "nv", None],
    ):
        book.active.append(row)
    book.save(file)
    assert read_labels(file.getvalue()).dx == SAME
    with pytest.raises(LabelsError, match="workbook cannot be read"):
        read_labels(file.getvalue()[:900])


def test_training_gets_all_columns() -> None:
    (row, _) = read_table(b"lesion_id,image_id,dx,Age\nL1,ISIC_1.JPG,Melanoma,60\nL2,ISIC_2,SCC,\n").rows
    assert row == {"lesion_id": "L1", "image_id": "ISIC_1", "dx": "mel", "age": "60"}
    assert _["dx"] == "scc"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("Nevus", "nv"), ("Nävus", "nv"), ("melanocytic nevi", "nv"), ("Dysplastic naevus", "nv"), ("Nevus, Spitz", "nv"),
        ("Malignant melanoma", "mel"), ("Melanoma, NOS", "mel"), ("Melanoma in situ", "mel"), ("lentigo maligna", "mel"),
        ("Basal cell carcinoma", "bcc"), ("BCC ", "bcc"), ("Actinic keratosis / Bowen's disease", "akiec"),
        ("Solar or actinic keratosis", "akiec"), ("Squamous cell carcinoma in situ", "akiec"), ("Bowen’s disease", "akiec"),
        ("AK", "akiec"), ("Squamous cell carcinoma, NOS", "scc"), ("Seborrhoeic keratosis", "bkl"), ("Solar lentigo", "bkl"),
        ("benign keratosis-like lesions", "bkl"), ("Lichen planus like keratosis", "bkl"), ("Dermatofibroma", "df"),
        ("Haemangioma", "vasc"), ("cherry angioma", "vasc"), ("Angiokeratoma", "vasc"), ("vascular lesions", "vasc"),
        ("Lentigo NOS", ""), ("nevus sebaceus", ""), ("no melanoma", ""), ("melanoma?", ""), ("non-melanoma", ""),
        ("nevus vs. melanoma", ""), ("Benign", ""), ("", ""), ("unknown", ""),
    ],
)  # fmt: skip
def test_diagnoses_spelled_out(words: str, code: str) -> None:
    assert diagnosis_of(words) == diagnosis_of(words.upper()) == code


def test_what_cannot_be_mapped_is_listed_once_and_the_rest_used() -> None:
    rows = "".join(f"x{i},Lentigo NOS\n" for i in range(1000)) + "ISIC_1,mel\ny,SCC\nISIC_2,nv\nz,\n"
    found = read_labels(f"image_id,dx\n{rows}".encode())
    assert found.dx == SAME
    (note,) = found.notes
    assert (
        "1001 rows" in note and "“Lentigo NOS” (1000)" in note and "“scc” (1)" in note and note.endswith(".")
    )


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"image_id,patient\nx,mel\n", "needs a column dx.*its columns are image_id, patient:"),
        (b"dx,photo\nmel,x\n", "one that names the photo.*its columns are dx, photo:"),
        (b"image_id,dx\nx,wart\n", "none of the seven classes: “wart”.*codes are akiec"),
        (b"image_id,dx\nx,mel\nx.jpg,nv\n", "two dx for one photo"),
        (b"image_id,dx\n", "no dx"),
        (b"", "needs a column dx"),
        (b'image_id,dx\n"x"y,mel\n', "cannot be read"),
        (b"\x00\x01\x02", "needs a column"),
        (b"\xd0\xcf\x11\xe0 and more", "Excel workbook of the old kind"),
    ],
)
def test_a_table_that_cannot_be_used_gets_a_sentence(data: bytes, says: str) -> None:
    with pytest.raises(LabelsError, match=says) as refusal:
        read_labels(data)
    assert "\n" not in str(refusal.value)


def test_names_match_by_as_much_of_the_path_as_there_is() -> None:
    labels = Labels(
        {
            "a/1": "mel",
            "b/1": "nv",
            "2": "df",
            "lesion.v2": "bcc",
            "IMG_3": "vasc",
            "img_3": "bkl",
            "Four": "mel",
        }
    )
    names = {
        "x.zip/a/1.jpg": "mel",
        "b\\1.PNG": "nv",
        "1.jpg": None,
        "deep/er/2.tif": "df",
        "lesion.v2.jpg": "bcc",
        "IMG_3.jpg": "vasc",
        "img_3.JPG": "bkl",
        "Img_3.jpg": None,
        "FOUR.jpg": "mel",
    }  # fmt: skip
    assert {name: labels.of(name) for name in names} == names


def test_names_match_however_their_letters_are_composed() -> None:
    decomposed = unicodedata.normalize("NFD", "Müller_1")
    assert decomposed != "Müller_1"
    for table, photo in (
        ("Müller_1", decomposed),
        (decomposed, "Müller_1"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("a\ufeff", "a"),
    ):
        assert read_labels(f"image_id,dx\n{table}.jpg,mel\n".encode()).of(f"x.zip/{photo}.JPG") == "mel"


def test_licences_beside_the_labels_are_no_labels() -> None:
    def source(name: str, data: bytes) -> Source:
        return Source(name, lambda: data)

    licence, other = (
        source("a.zip/CC-0.txt", b"Do what you want."),
        source("sizes.csv", b"image_id,width\nx,2\n"),
    )
    labels = source("metadata.csv", TABLES["plain"])
    for tables in ([licence, labels], [labels, other, licence]):
        found = labels_among(tables)
        assert found and found.dx == SAME
    assert labels_among([licence]) is None and labels_among([]) is None
    with pytest.raises(LabelsError, match="needs a column dx"):
        labels_among([other, licence])
    with pytest.raises(LabelsError, match="more than one table"):
        labels_among([labels, labels])


def test_figures_are_scikit_learn_s() -> None:
    truth = ["mel", "mel", "nv", "nv", "nv", "df"]
    guess = ["mel", "nv", "nv", "nv", "mel", "df"]
    rows = [row(f"{i}.jpg", code, 0.4 + i / 20) for i, code in enumerate(guess)]
    rows += [row("unknown.jpg", "mel"), Row("broken.jpg", "damaged")]
    labels = {str(i): dx for i, dx in enumerate(truth)} | {"absent": "nv", "broken": "mel"}
    found = agreement(rows, Labels(labels, ("A note.",)))
    assert found.notes == ("A note.",)
    assert (found.n, found.unlabelled, found.unused) == (6, 1, 2)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truth, guess))
    assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(truth, guess))
    np.testing.assert_array_equal(
        found.confusion_matrix, metrics.confusion_matrix(truth, guess, labels=list(CODES))
    )
    assert found.per_class["mel"]["recall"] == pytest.approx(0.5)
    assert found.per_class["mel"]["photos"] == 2
    assert found.per_class["vasc"] == {
        "precision": None,
        "recall": None,
        "f1": None,
        "auc": None,
        "photos": 0,
    }


def test_labels_of_other_photos_are_told() -> None:
    with pytest.raises(LabelsError, match="none of the photos"):
        agreement([row("a.jpg", "mel")], Labels({"b": "mel"}))
