"""The seven classes."""

from skinapp.lesions import BY_CODE, CLASSES, CODES


def test_codes_are_ham10000s_in_alphabetical_order() -> None:
    assert CODES == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


def test_malignant_and_premalignant_classes_are_suspicious() -> None:
    assert {code for code in CODES if BY_CODE[code].suspicious} == {"akiec", "bcc", "mel"}


def test_malignancy_is_one_of_three_words() -> None:
    assert {lesion.malignancy for lesion in CLASSES} == {"malignant", "premalignant", "benign"}


def test_names_differ_and_descriptions_are_sentences() -> None:
    assert len({lesion.name for lesion in CLASSES}) == len(CLASSES)
    assert all(lesion.description.endswith(".") for lesion in CLASSES)


def test_akiec_is_not_passed_off_as_invasive_carcinoma() -> None:
    assert "invasive squamous cell carcinoma is not among" in BY_CODE["akiec"].description
