"""The seven lesion classes of HAM10000 (Tschandl 2018, doi:10.1038/sdata.2018.161), defined here and nowhere else."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LesionClass:
    """One class: HAM10000's code (`dx`), its names, a sentence for the reader, and what it means for the patient.

    `malignancy` is "malignant", "premalignant" or "benign".
    """

    code: str
    name: str
    description: str
    malignancy: str

    @property
    def suspicious(self) -> bool:
        """True for a class that is malignant or premalignant."""
        return self.malignancy != "benign"


# Alphabetical by code, which is also the order of the network's outputs; model/*/skinapp.json repeats it
# beside the weights, and the classifier refuses weights that were trained in another order.
CLASSES: tuple[LesionClass, ...] = (
    LesionClass(
        "akiec",
        "Actinic keratosis / Bowen's disease",
        "Early, non-invasive growth of keratinocytes: actinic keratosis, or Bowen's disease, which is squamous cell "
        "carcinoma in situ. Some write-ups of this data set call the class “squamous cell carcinoma”; "
        "invasive squamous cell carcinoma is not among its images.",
        "premalignant",
    ),
    LesionClass(
        "bcc",
        "Basal cell carcinoma",
        "The most common skin cancer; it grows locally and very rarely spreads.",
        "malignant",
    ),
    LesionClass(
        "bkl",
        "Benign keratosis",
        "Seborrhoeic keratosis, solar lentigo or lichen-planus-like keratosis: harmless, but at times hard to tell "
        "from melanoma.",
        "benign",
    ),
    LesionClass(
        "df",
        "Dermatofibroma",
        "A harmless firm nodule of fibrous tissue, often with a pale centre.",
        "benign",
    ),
    LesionClass(
        "mel",
        "Melanoma",
        "A cancer of the pigment cells, invasive or in situ, that can spread.",
        "malignant",
    ),
    LesionClass(
        "nv",
        "Melanocytic nevus",
        "A mole: a harmless growth of pigment cells in one of its many forms.",
        "benign",
    ),
    LesionClass(
        "vasc",
        "Vascular lesion",
        "Angioma, angiokeratoma, pyogenic granuloma or haemorrhage: a harmless lesion of blood vessels.",
        "benign",
    ),
)

CODES: tuple[str, ...] = tuple(lesion.code for lesion in CLASSES)
BY_CODE: dict[str, LesionClass] = {lesion.code: lesion for lesion in CLASSES}
