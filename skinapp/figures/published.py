"""What others reached on these seven classes, and what makes it more or less comparable. Literature, so written by hand."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """Figures of others; None where they were not given. test: the photos that they were measured on; differs: what a
    reader must know before comparing. source: an address, empty where there is none."""

    who: str
    test: str
    differs: str
    accuracy: float | None = None
    balanced_accuracy: float | None = None
    macro_auc: float | None = None
    source: str = ""


OFFICIAL = "official ISIC 2018 test, 1,512 photos"
PUBLISHED: tuple[Published, ...] = (
    Published(
        "ISIC 2018 winners, ten networks averaged",
        OFFICIAL,
        "Large networks, trained on other photos besides HAM10000.",
        balanced_accuracy=0.885,
        source="https://www.dermengine.com/blog/metaoptima-awarded-isic-2018-challenge",
    ),
    Published(
        "ISIC 2018 winners, best single network",
        OFFICIAL,
        "A large network, trained on other photos besides HAM10000.",
        balanced_accuracy=0.871,
        source="https://www.dermengine.com/blog/metaoptima-awarded-isic-2018-challenge",
    ),
    Published(
        "a public ConvNeXt",
        OFFICIAL,
        "Trained on HAM10000 alone, as ours is.",
        accuracy=0.742,
        balanced_accuracy=0.640,
    ),
    Published(
        "ResNet-18 at 224 px",
        "official ISIC 2018 test (DermaMNIST-E)",
        "Trained on HAM10000 alone; a plain baseline.",
        accuracy=0.685,
        macro_auc=0.900,
        source="https://arxiv.org/abs/2401.14497",
    ),
    Published(
        "ResNet-18 at 224 px",
        "1,227 photos of HAM10000 (DermaMNIST-C)",
        "Split by lesion, as ours is: the same kind of test.",
        accuracy=0.847,
        macro_auc=0.953,
        source="https://arxiv.org/abs/2401.14497",
    ),
    Published(
        "ConvNeXt-Tiny at 224 px",
        "1,505 photos of HAM10000",
        "Split by lesion, as ours is; six times as large a network.",
        accuracy=0.826,
        balanced_accuracy=0.710,
        macro_auc=0.965,
    ),
    Published(
        "dermatologists, over 10 years' experience",
        "batches of 30 from the official test",
        "18.8 of 30 right, the best three programs 25.4. They saw photos alone, and no patient to talk to or examine.",
        accuracy=round(18.8 / 30, 3),
        source="https://doi.org/10.1016/S1470-2045(19)30333-X",
    ),
)

CAUTIONS: tuple[str, ...] = (
    (
        "Ours are validation lesions of the data set that the network was trained on: the same two clinics, other lesions. "
        "The official test set also holds photos of clinics that HAM10000 has none of, where networks do worse: "
        "compare with the rows split by lesion first."
    ),
    (
        "Accuracy depends on how many moles a test holds (two in three in HAM10000); balanced accuracy and AUC depend on "
        "it less."
    ),
    (
        "Figures of 92 to 98 % come from random splits of HAM10000, where photos of one lesion lie on both sides; on the "
        "official test, networks that claimed them fell to an accuracy of 61 to 64 %."
    ),
)
