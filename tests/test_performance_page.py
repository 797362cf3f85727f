"""The tabs "Performance" and "About" in a real Chromium, and their endpoints: every figure is that of metrics.json.

The app serves a model of one's own that brings no figures, and the shipped one beside it.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from skinapp import __version__
from skinapp.figures.measured import HEADLINE, Metrics, NotMeasured, headline, point_figures, read_metrics
from skinapp.network.configuration import Configuration
from skinapp.network.folders import MODELS
from skinapp.page.performance_views import (
    calibration_html,
    classes_html,
    comparison_html,
    corruptions_html,
    curves_html,
    explorer_html,
    groups_html,
    mistakes_html,
    operating_html,
    overview_html,
)
from tests.serving import browser, running_app

PATIENCE = 60_000
FAST = MODELS / "fast"
VIEWS = ("Overview", "Operating points", "Classes", "Curves", "Calibration", "Groups", "Damaged photos", "Mistakes", "Compared")  # fmt: skip


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    return json.loads((FAST / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model under another name and without its figures."""
    folder = tmp_path_factory.mktemp("models") / "bare"
    shutil.copytree(FAST, folder, ignore=lambda _, names: {"metrics.json"} & set(names))
    return folder


@pytest.fixture(scope="module")
def address(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_app(tmp_path_factory.mktemp("app") / "log.txt", SKINAPP_MODEL=str(bare)) as address:
        yield address


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, verbose=False)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as chromium:
        yield chromium


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    yield context
    context.close()


@pytest.fixture(scope="module")
def page(chromium: Browser, address: str) -> Iterator[Page]:
    """The tab, with the shipped model chosen. The same for all tests that look at one view of it."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    yield opened(context.new_page(), address)
    context.close()


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    page.get_by_role("tab", name="Performance").click(timeout=PATIENCE)
    expect(page.get_by_text("The model 'bare' brings no figures").first).to_be_visible(timeout=PATIENCE)
    network = page.get_by_role("tabpanel").filter(has=page.locator("#figures")).get_by_label("Network")
    network.click()
    page.get_by_role("option", name=re.compile("^fast")).click()
    return page


def view(page: Page, name: str) -> None:
    page.locator("#figures").get_by_role("tab", name=name, exact=True).click()


def share(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def test_the_headline_figures_are_those_of_the_metrics(page: Page, metrics: Metrics) -> None:
    crossed, melanoma = metrics["cross_fitted"], metrics["curves"]["targets"]["melanoma"]
    for name in HEADLINE:
        figure = page.locator(f'[data-figure="fast {name}"]')
        value = melanoma["auc"] if name == "melanoma_auc" else crossed[name]
        low, high = (
            melanoma["auc_interval"] if name == "melanoma_auc" else crossed["confidence_intervals"][name]
        )
        expect(figure).to_have_text(share(value))
        expect(figure.locator("xpath=..")).to_contain_text(f"[{share(low)}, {share(high)}]")
    expect(page.get_by_text("1,666 photos of 1,243 lesions").first).to_be_visible()


def test_classes_and_confusion_matrix(page: Page, metrics: Metrics) -> None:
    view(page, "Classes")
    row = page.get_by_role("row", name=re.compile("^Melanoma mel"))
    figures = metrics["cross_fitted"]["per_class"]["mel"]
    expect(row.get_by_role("cell")).to_have_text(
        [*(share(figures[key]) for key in ("precision", "recall", "f1", "auc")), str(figures["support"])]
    )
    cells = page.locator("table.confusion td")
    expect(cells).to_have_text(
        [str(count) for row in metrics["cross_fitted"]["confusion_matrix"] for count in row]
    )


def test_the_slider_changes_the_figures(page: Page, metrics: Metrics) -> None:
    view(page, "Operating points")
    slider = page.get_by_role("slider", name=re.compile("Lesions to be found"))
    expect(slider).to_have_value("95")
    costs = page.locator("#costs")

    def shows(percent: int) -> None:
        for target in ("malignant", "melanoma"):
            card = costs.locator(f'[data-target="{target}"]')
            curve = metrics["curves"]["operating"][target]
            at = curve["asked"].index(percent / 100)
            expect(card.locator('[data-figure="sensitivity"]')).to_have_text(
                share(curve["sensitivity"][at]), timeout=PATIENCE
            )
            expect(card.locator('[data-figure="specificity"]')).to_have_text(share(curve["specificity"][at]))
            expect(card.locator('[data-figure="alarms"]')).to_have_text(
                f"{curve['false_alarms_per_find'][at]:.2f}"
            )
            expect(card).to_contain_text(f"a probability of {100 * curve['threshold'][at]:.3g} %")

    expect(costs.locator('[data-figure="sensitivity"]')).to_have_count(2, timeout=PATIENCE)
    shows(95)
    before = page.locator(".mark").bounding_box()
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    expect(slider).to_have_value("90")
    shows(90)
    after = page.locator(".mark").bounding_box()
    assert before and after and after["x"] < before["x"] - 10

    # While a number is typed, what stands in the box may be none of the slider's, or nothing.
    failed: list[str] = []
    page.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
    number = page.get_by_label(re.compile("^number input for Lesions to be found"))
    number.fill("")
    number.press_sequentially("99", delay=300)
    page.keyboard.press("Tab")
    expect(costs.locator('[data-target="melanoma"]')).to_contain_text("are too few. The highest is 98%.")
    expect(costs.locator('[data-target="malignant"] [data-figure="specificity"]')).to_have_text(
        share(metrics["curves"]["operating"]["malignant"]["specificity"][-1])
    )
    assert not failed


def test_every_view_fits_the_screen_and_asks_no_other_host(
    context: BrowserContext, address: str, metrics: Metrics
) -> None:
    page, outside = context.new_page(), []

    def note(request: Request) -> None:
        if not request.url.startswith((address, "data:", "blob:")):
            outside.append(request.url)

    page.on("request", note)
    opened(page, address)
    said = {
        "Curves": "Precision and recall",
        "Calibration": "On the dotted line",
        "Groups": "lower extremity",
        "Damaged photos": "Balanced accuracy against the strength",
        "Mistakes": metrics["mistakes"][0]["image_id"],
        "Compared": "ISIC 2018 winners",
    }
    for name in VIEWS:
        view(page, name)
        if name in said:
            panel = page.locator("#figures").get_by_text(said[name]).locator("visible=true").first
            expect(panel).to_be_visible(timeout=PATIENCE)
        assert page.evaluate("document.documentElement.scrollHeight") <= 800, f"{name} needs scrolling"
    page.get_by_role("tab", name="About").click()
    expect(page.locator("#about")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollHeight") <= 800, "About needs scrolling"
    assert not outside


def test_nothing_is_wider_than_a_phone(chromium: Browser, address: str) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    page = opened(context.new_page(), address)
    for name in VIEWS:
        view(page, name)
        expect(page.locator("#figures .waiting").locator("visible=true")).to_have_count(0, timeout=PATIENCE)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, f"{name} scrolls sideways"
    context.close()


def test_mistakes_lead_to_the_archive(page: Page, metrics: Metrics) -> None:
    view(page, "Mistakes")
    for row in (metrics["mistakes"][0], metrics["mistakes"][-1]):
        link = page.get_by_role("link", name=row["image_id"])
        expect(link).to_have_attribute("href", f"https://api.isic-archive.com/images/{row['image_id']}/")
        expect(link).to_have_attribute("rel", "noopener noreferrer")
        expect(page.get_by_role("row", name=re.compile(row["image_id"]))).to_contain_text(
            share(row["probability"])
        )


def test_about_says_what_it_must(context: BrowserContext, address: str) -> None:
    page = context.new_page()
    page.goto(address)
    page.get_by_role("tab", name="About").click(timeout=PATIENCE)
    about = page.locator("#about")
    sha256 = Configuration.read(FAST).sha256["weights.npz"]
    for words in ("two clinics", "fair skin", "none of the seven classes is forced into one",
                  "within ten minutes of its last use", "no analytics", "Apache 2.0", "CC BY-NC 4.0", __version__, sha256):  # fmt: skip
        expect(about).to_contain_text(words)
    expect(about.get_by_role("link", name="Tschandl 2020")).to_have_attribute(
        "href", "https://doi.org/10.1038/s41591-020-0942-0"
    )


def test_performance_endpoint(client: Client, metrics: Metrics) -> None:
    answer = client.predict("fast", api_name="/performance")
    assert answer["model"] == {"name": "fast", "sha256": metrics["model"]["sha256"]}
    assert (answer["photos"], answer["lesions"]) == (1666, 1243)
    assert list(answer["figures"]) == list(HEADLINE)
    assert answer["figures"]["accuracy"]["value"] == metrics["cross_fitted"]["accuracy"]
    assert [answer["figures"]["melanoma_auc"][end] for end in ("low", "high")] == (
        metrics["curves"]["targets"]["melanoma"]["auc_interval"]
    )
    with pytest.raises(AppError, match="The model 'bare' brings no figures"):
        client.predict(api_name="/performance")
    with pytest.raises(AppError, match="There is no model 'slow': the names on offer are bare, fast"):
        client.predict("slow", api_name="/performance")


def test_operating_point_endpoint(client: Client, metrics: Metrics) -> None:
    answer = client.predict("melanoma", 0.9, "fast", api_name="/operating_point")
    row = next(
        row
        for row in metrics["operating_points"]["cross_fitted"]
        if (row["target"], row["asked"]) == ("melanoma", 0.9)
    )
    assert (answer["target"], answer["asked"], answer["photos"], answer["positive"]) == (
        "melanoma",
        0.9,
        1666,
        190,
    )
    for name in ("sensitivity", "specificity", "false_alarms_per_find"):
        assert answer[name]["value"] == pytest.approx(row[name], abs=6e-5)
    shipped = {(p.target, p.sensitivity): p.threshold for p in Configuration.read(FAST).operating_points}
    assert answer["threshold"] == shipped["melanoma", 0.9]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("benign", 0.9, "fast"), "There is no target 'benign': the targets are malignant, melanoma"),
        (("melanoma", 0.999, "fast"), "cannot be promised for the target 'melanoma'"),
        (("melanoma", 90, "fast"), "A sensitivity lies above 0 and is at most 1"),
        (("melanoma", None, "fast"), "There is no sensitivity"),
        (("melanoma", 0.9, "../fast"), "There is no model '../fast'"),
    ],
)
def test_what_cannot_be_answered_gets_a_sentence(client: Client, arguments: tuple, sentence: str) -> None:
    with pytest.raises(AppError, match=re.escape(sentence)):
        client.predict(*arguments, api_name="/operating_point")


def test_the_next_stop_is_no_lower(metrics: Metrics) -> None:
    assert point_figures(metrics, "malignant", 0.901).asked == 0.91
    assert point_figures(metrics, "malignant", 0.1).asked == 0.5
    assert point_figures(metrics, "malignant", 0.57).asked == 0.57
    for wrong in (0, -1, 1.5, float("nan")):
        with pytest.raises(NotMeasured, match="above 0"):
            point_figures(metrics, "malignant", wrong)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": {"sha256": "0" * 64}}, "are those of other weights"),
        ({"curves": None}, "are an earlier version's"),
        ({"model": None}, "cannot be read"),
    ],
)
def test_figures_that_do_not_belong_to_the_weights_are_not_shown(
    bare: Path, tmp_path: Path, metrics: Metrics, change: Metrics, sentence: str
) -> None:
    shutil.copy(bare / "skinapp.json", tmp_path)
    changed = {key: value for key, value in (metrics | change).items() if value is not None}
    (tmp_path / "metrics.json").write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(NotMeasured, match=f"{sentence}: run python -m train.report"):
        read_metrics(tmp_path)


def test_networks_stand_side_by_side(metrics: Metrics) -> None:
    other = json.loads(json.dumps(metrics))
    other["cross_fitted"]["accuracy"] = 0.5
    shown = overview_html({"fast": metrics, "detailed": other, "own": "Nothing <measured>."})
    found = dict(re.findall(r'data-figure="(\w+) accuracy">([.\d]+)<', shown))
    assert found == {"fast": share(metrics["cross_fitted"]["accuracy"]), "detailed": ".500"}
    assert "Nothing &lt;measured&gt;." in shown
    assert len(headline(metrics)) * 2 == shown.count("data-figure")


def test_counts_of_a_thousand_add_up(metrics: Metrics) -> None:
    for percent in range(50, 99):
        for counts in re.findall(r'<div class="thousand".*?</div>', explorer_html(metrics, percent)):
            assert sum(int(count) for count in re.findall(r"flex:(\d+)", counts)) == 1000


def test_what_a_researcher_s_own_data_holds_stays_text(metrics: Metrics) -> None:
    mistake = metrics["mistakes"][0] | {"image_id": 'ISIC_1"><script>', "dx_type": "<b>"}
    shown = mistakes_html(metrics | {"mistakes": [mistake]})
    assert "<script>" not in shown and "<b>" not in shown and "<a " not in shown
    own = metrics | {"model": metrics["model"] | {"name": "<i>own</i>"}}
    assert "&lt;i&gt;own" in comparison_html(own)


def test_a_model_measured_on_hardly_any_lesions_is_shown_all_the_same(metrics: Metrics) -> None:
    """As `python -m train.fit` leaves it after a try on a handful of photos: whole columns are missing."""
    few = json.loads(json.dumps(metrics))
    crossed, curves = few["cross_fitted"], few["curves"]
    crossed["macro_auc"] = crossed["confidence_intervals"]["macro_auc"] = None
    crossed["per_class"]["df"] = {"precision": None, "recall": None, "f1": None, "auc": None, "support": 0}
    crossed["confusion_matrix"] = [[0] * 7 for _ in range(7)]
    curves["roc"].pop("df")
    curves["precision_recall"].pop("df")
    curves["targets"]["melanoma"] = {"auc": None, "auc_interval": None, "positive": 0}
    for bins in curves["reliability"].values():
        bins["photos"] = [1] * len(bins["photos"])
    for curve in curves["operating"].values():
        curve.update({key: [] for key, column in curve.items() if isinstance(column, list)})
    few |= {"groups": [], "mistakes": [], "corruptions": []}
    shown = {show.__name__: show(few) for show in (classes_html, curves_html, calibration_html, operating_html,
             groups_html, corruptions_html, mistakes_html, comparison_html)}  # fmt: skip
    shown |= {"overview": overview_html({"own": few}), "explorer": explorer_html(few, 95)}
    for name, page in shown.items():
        assert len(page) > 50, name
        assert not re.search(r"\b(None|nan)\b", page), name
    assert "too few lesions of the target" in shown["explorer"]
    assert '<b data-figure="own melanoma_auc">-</b>' in shown["overview"]
