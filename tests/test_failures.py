"""Figures by group and the surest mistakes, against cases counted by hand and scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from skinapp.figures import evaluation
from skinapp.lesions import CODES
from train.probabilities.failures import GROUPINGS, SMALLEST_GROUP, GroupFigures, by_group, mistakes
from train.validation import Photo

PHOTO = Photo("image", "lesion", "nv", "tune", "histo", "50.0", "male", "back", "0.2")


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "RESAMPLES", 40)


def drawn(number: int, seed: int = 0) -> tuple[list[Photo], np.ndarray, np.ndarray]:
    """Photos that differ in nothing but their class, with labels and the probabilities of a fair network."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 7, number)
    logits = 2.0 * np.eye(7)[labels] + random.normal(0, 1, (number, 7))
    shown = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    photos = [
        replace(PHOTO, image_id=f"image_{i}", lesion_id=f"lesion_{i}", dx=CODES[label])
        for i, label in enumerate(labels)
    ]
    return photos, labels, shown


def groups_by(by: str, photos: list[Photo], *rest: np.ndarray) -> dict[str, GroupFigures]:
    return {group.group: group for group in by_group(photos, *rest) if group.by == by}


def test_group_s_figures_are_scikit_learn_s() -> None:
    photos, labels, shown = drawn(120)
    photos = [replace(photo, sex="male" if i < 50 else "female") for i, photo in enumerate(photos)]
    found = groups_by("sex", photos, labels, shown)
    assert set(found) == {"male", "female"}
    for name, rows in (("male", slice(0, 50)), ("female", slice(50, 120))):
        group, truth, predicted = found[name], labels[rows], shown[rows].argmax(1)
        malignant = np.isin(truth, [CODES.index(code) for code in ("akiec", "bcc", "mel")])
        suspected = shown[rows][:, [CODES.index(code) for code in ("akiec", "bcc", "mel")]].sum(1)
        assert (group.photos, group.malignant) == (len(truth), malignant.sum())
        assert group.accuracy == pytest.approx(accuracy_score(truth, predicted))
        assert group.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, predicted))
        assert group.malignant_auc == pytest.approx(roc_auc_score(malignant, suspected))
        low, high = group.accuracy_interval
        assert low < group.accuracy < high
        assert group.malignant_auc_interval is not None
        assert group.malignant_auc_interval[0] < group.malignant_auc < group.malignant_auc_interval[1] <= 1


def test_small_groups_are_left_out() -> None:
    photos, labels, shown = drawn(60)

    def sites(of_the_back: int) -> set[str]:
        placed = [
            replace(p, localization="back" if i < of_the_back else "face") for i, p in enumerate(photos)
        ]
        return set(groups_by("body site", placed, labels, shown))

    assert sites(SMALLEST_GROUP) == {"back", "face"}
    assert sites(SMALLEST_GROUP - 1) == {"face"}


@pytest.mark.parametrize("unknown", ["", "unknown"])
def test_photos_of_which_nothing_is_known_are_in_no_group(unknown: str) -> None:
    photos, labels, shown = drawn(40)
    bare = [Photo(p.image_id, p.lesion_id, p.dx, p.part, "", "", unknown, unknown, "") for p in photos]
    assert by_group(bare, labels, shown) == []
    half = [replace(p, sex="male") if i < 25 else p for i, p in enumerate(bare)]
    (group,) = by_group(half, labels, shown)
    assert (group.by, group.group, group.photos) == ("sex", "male", 25)


@pytest.mark.parametrize(
    "age, name",
    [
        ("0.0", "0 to 29"),
        ("25", "0 to 29"),
        ("30.0", "30 to 44"),
        ("45.0", "45 to 59"),
        ("60.0", "60 to 74"),
        ("74.9", "60 to 74"),
        ("75.0", "75 and over"),
        ("", ""),
        ("nan", ""),
        ("unknown", ""),
        ("50-60", ""),
    ],
)
def test_age_groups(age: str, name: str) -> None:
    assert GROUPINGS["age"](replace(PHOTO, age=age)) == name


@pytest.mark.parametrize(
    "area, name",
    [
        ("0.000", "0 to 10 %"),
        ("0.099", "0 to 10 %"),
        ("0.100", "10 to 25 %"),
        ("0.250", "25 to 50 %"),
        ("0.500", "50 % and over"),
        ("1.000", "50 % and over"),
        ("", ""),
    ],
)
def test_area_groups(area: str, name: str) -> None:
    assert GROUPINGS["share of the photo that the lesion fills"](replace(PHOTO, area=area)) == name


def test_area_under_the_curve_needs_both_sides() -> None:
    photos, labels, shown = drawn(200)
    nevi = np.flatnonzero(labels == CODES.index("nv"))[:25]
    (group,) = groups_by("sex", [photos[i] for i in nevi], labels[nevi], shown[nevi]).values()
    assert group.malignant == 0
    assert group.malignant_auc is None and group.malignant_auc_interval is None
    assert group.balanced_accuracy == group.accuracy, "only one class occurs"


def test_intervals_draw_whole_lesions() -> None:
    photos, labels, shown = drawn(60)
    one = [replace(photo, lesion_id="one") for photo in photos]
    for group in by_group(one, labels, shown):
        assert group.accuracy_interval == (group.accuracy, group.accuracy)


def test_mistakes_are_wrong_and_the_surest_come_first() -> None:
    photos, labels, shown = drawn(400)
    found = mistakes(photos, labels, shown, number=1000)
    assert {m.image_id for m in found} == {
        p.image_id for p, wrong in zip(photos, shown.argmax(1) != labels, strict=True) if wrong
    }
    assert [m.probability for m in found] == sorted((m.probability for m in found), reverse=True)
    for mistake in found:
        row = int(mistake.image_id.removeprefix("image_"))
        assert mistake.dx == photos[row].dx != mistake.predicted == CODES[shown[row].argmax()]
        assert mistake.probability == shown[row].max() > mistake.probability_of_dx
        assert mistake.probability_of_dx == shown[row, labels[row]]
        assert mistake.dx_type == "histo"
    assert mistakes(photos, labels, shown, number=3) == found[:3]
    assert len(mistakes(photos, labels, shown)) == 25 < len(found)


def test_a_faultless_network_has_no_mistakes() -> None:
    photos, labels, _ = drawn(30)
    assert mistakes(photos, labels, np.eye(7)[labels]) == []
