"""The dx that comes along with many photos."""

import numpy as np
import pytest
from sklearn import metrics

from skinapp.labels import LabelsError, agreement, label_of, read_labels
from skinapp.lesions import CODES
from skinapp.output.rows import Row


def row(name: str, code: str, share: float = 0.7) -> Row:
    rest = (1 - share) / (len(CODES) - 1)
    return Row(name, "", tuple(share if c == code else rest for c in CODES), 0.5, (code,))


@pytest.mark.parametrize(
    "text",
    [
        "image_id,dx\nISIC_1,mel\nISIC_2,nv\n",
        "\ufefflesion_id;image_id;dx;age\r\nL;ISIC_1;mel;4\r\nL;ISIC_2; NV;5\r\n",
        "dx\tFile\nmel\tISIC_1.JPG\nnv\tisic_2.jpg\nnv\t\n\tISIC_3\n",
        'image,dx\n"ISIC_1",mel\nISIC_2.png,nv\nISIC_2,nv\n',
    ],
)
def test_spreadsheets_of_several_kinds_are_understood(text: str) -> None:
    assert read_labels(text.encode()) == {"isic_1": "mel", "isic_2": "nv"}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"image_id,diagnosis\nx,mel\n", "needs a column dx"),
        (b"dx,photo\nmel,x\n", "one that names the photo"),
        (b"image_id,dx\nx,melanoma\n", "line 2: the codes are akiec"),
        (b"image_id,dx\nx,mel\nX.jpg,nv\n", "two dx for one photo"),
        (b"image_id,dx\n", "no dx"),
        (b"", "needs a column dx"),
        ("image_id,dx\nx,mäl".encode("latin-1"), "UTF-8"),
        (b'image_id,dx\n"x"y,mel\n', "cannot be read"),
        (b"\x00\x01\x02", "needs a column"),
    ],
)
def test_a_csv_that_cannot_be_used_gets_a_sentence(data: bytes, says: str) -> None:
    with pytest.raises(LabelsError, match=says) as refusal:
        read_labels(data)
    assert "\n" not in str(refusal.value)


def test_names_match_by_as_much_of_the_path_as_there_is() -> None:
    labels = {"a/1": "mel", "b/1": "nv", "2": "df", "lesion.v2": "bcc"}
    names = {
        "x.zip/a/1.jpg": "mel",
        "b\\1.PNG": "nv",
        "1.jpg": None,
        "deep/er/2.tif": "df",
        "lesion.v2.jpg": "bcc",
    }
    assert {name: label_of(labels, name) for name in names} == names


def test_figures_are_scikit_learn_s() -> None:
    truth = ["mel", "mel", "nv", "nv", "nv", "df"]
    guess = ["mel", "nv", "nv", "nv", "mel", "df"]
    rows = [row(f"{i}.jpg", code, 0.4 + i / 20) for i, code in enumerate(guess)]
    rows += [row("unknown.jpg", "mel"), Row("broken.jpg", "damaged")]
    labels = {str(i): dx for i, dx in enumerate(truth)} | {"absent": "nv", "broken": "mel"}
    found = agreement(rows, labels)
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
        agreement([row("a.jpg", "mel")], {"b": "mel"})
