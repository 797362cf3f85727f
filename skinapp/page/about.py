"""The tab that says what the program is for, what it is not for, and what becomes of a photo."""

from html import escape

import gradio as gr

from skinapp import __version__
from skinapp.lesions import CLASSES
from skinapp.network.configuration import Configuration
from skinapp.network.folders import model_folders, title
from skinapp.service.engine import Engine

HAM10000 = "https://doi.org/10.1038/sdata.2018.161"
TSCHANDL_2020 = "https://doi.org/10.1038/s41591-020-0942-0"
APACHE = "https://www.apache.org/licenses/LICENSE-2.0"
CC_BY_NC = "https://creativecommons.org/licenses/by-nc/4.0/"


def add(engine: Engine) -> None:
    """Add the tab's content to the page that is being built."""
    folders = model_folders()
    gr.HTML(
        about_html(
            {
                title(folders[name]): Configuration.read(folders[name]).sha256["weights.npz"]
                for name in engine.names
            }
        )
    )


def about_html(models: dict[str, str]) -> str:
    """models: sha256 of the weights by title."""
    classes = ", ".join(f"{lesion.name} ({lesion.code})" for lesion in CLASSES)
    weights = "".join(
        f"<dt>{escape(name)}</dt><dd><code>{escape(digest)}</code></dd>" for name, digest in models.items()
    )
    cards = {
        "What it is for": f"""<p>Research, teaching, and comparison with other methods on the same lesions. It gives a dermatoscopic
photo seven probabilities, one for each of: {escape(classes)}.</p>""",
        "Who it is not for": """<p>Anybody who has to decide about a patient, and anybody who wonders about a mole of their own: see
a doctor. Not for photos taken without a dermatoscope; not for mucosa, nails or tattooed skin.</p>""",
        "The data and its limits": f"""<p>Trained on {_link(HAM10000, "HAM10000")}: 10,015 photos from two clinics, in Vienna and
Queensland, mostly of fair skin. Skin tone is not recorded: presume it worse on darker skin. <b>Anything that is none of the seven
classes is forced into one of them</b>, invasive squamous cell carcinoma and inflammation among it. The probabilities presume the
data set’s mix of lesions, chosen for a photo or a biopsy; in a practice most lesions are harmless.</p>""",
        "How the map can mislead": f"""<p>It shows where evidence for a class was found, relative to the strongest place in the same
photo: not why, nor how sure the network is. A wrong class has a convincing map, too. Wrong advice misleads even experts
({_link(TSCHANDL_2020, "Tschandl 2020")}): make up your own mind first. No study shows that anybody decides better with this
program.</p>""",
        "What becomes of a photo": """<p>It is kept in a private temporary folder of the server that runs this page, and deleted
within ten minutes of its last use, and when the server stops. What a page has shown is forgotten ten minutes after its last use. Nothing is sent
anywhere else, nothing is used for training, and there are no analytics. Links to other sites open only when clicked.</p>""",
        "Licence and citation": f"""<p>Code: {_link(APACHE, "Apache 2.0")}. Weights: {_link(CC_BY_NC, "CC BY-NC 4.0")}, as the data
that they were trained on; not for commercial use. Please cite</p><ul><li>Tschandl P., Rosendahl C., Kittler H.: The HAM10000
dataset, a large collection of multi-source dermatoscopic images of common pigmented skin lesions. Sci. Data 5, 180161 (2018).
{_link(HAM10000, "doi:10.1038/sdata.2018.161")}</li><li>skinapp {escape(__version__)}, with the sha256 below.</li></ul>""",
    }
    sections = "".join(
        f'<section class="card"><h2>{name}</h2>{text}</section>' for name, text in cards.items()
    )
    return f'<div id="about"><div class="cards">{sections}</div><dl class="versions"><dt>skinapp</dt><dd>{escape(__version__)}</dd>{weights}</dl></div>'


def _link(address: str, words: str) -> str:
    return f'<a href="{address}" target="_blank" rel="noopener noreferrer">{words}</a>'
