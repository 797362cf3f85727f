"""The page in a real Chromium, with the shipped weights: what a clinician does on a first visit."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from skinapp.drawings import draw_lesion
from tests.serving import browser, running_app

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
PATIENCE = 60_000  # milliseconds: the first photo waits for TensorFlow


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_app(tmp_path_factory.mktemp("app") / "log.txt") as address:
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as chromium:
        yield chromium


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    width, height = SIZES["desktop"]
    context = chromium.new_context(viewport={"width": width, "height": height})
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, address: str) -> Page:
    return opened(context.new_page(), address)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "drawn.jpg"
    draw_lesion("mel").save(path)
    return path


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    expect(page.locator("#photo")).to_be_visible(timeout=PATIENCE)
    return page


def choose(page: Page, file: Path) -> None:
    page.set_input_files("#photo input[type=file]", file)


def shown_map(page: Page) -> str:
    """Waits for a saliency map and returns its picture."""
    heat = page.locator("#saliency img.heat")
    expect(heat).to_be_visible(timeout=PATIENCE)
    return heat.get_attribute("src") or ""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_a_photo_gives_words_bars_and_map(
    chromium: Browser, address: str, photo: Path, size: str, theme: str
) -> None:
    width, height = SIZES[size]
    context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
    page = opened(context.new_page(), address)
    notice = page.get_by_role("note")
    expect(notice).to_contain_text("Not a medical device")
    expect(notice).to_be_in_viewport()
    assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")

    choose(page, photo)
    expect(page.locator("#sentence")).to_contain_text("Most probable:", timeout=PATIENCE)
    bars = page.locator("#bars").get_by_text(re.compile(r"^\d+%$"))
    expect(bars).to_have_count(7)
    percents = [int(text.removesuffix("%")) for text in bars.all_inner_texts()]
    assert percents == sorted(percents, reverse=True)
    assert 97 <= sum(percents) <= 103
    assert shown_map(page).startswith("data:image/png;base64,")
    expect(page.locator("#saliency")).to_contain_text("strongest")
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    if size == "desktop":
        assert page.evaluate("document.documentElement.scrollHeight") <= height, "the result needs scrolling"
    context.close()


def test_another_class_gets_its_own_map(page: Page, photo: Path) -> None:
    choose(page, photo)
    first = shown_map(page)
    top = page.locator("#sentence strong").inner_text()
    other = "Basal cell carcinoma" if top != "Basal cell carcinoma" else "Melanoma"
    page.get_by_label("Class to explain").click()
    page.get_by_role("option", name=re.compile(other)).click()
    expect(page.locator("#saliency figcaption")).to_contain_text(other, timeout=PATIENCE)
    maps = page.locator("#saliency img.heat")
    assert maps.count() == 0 or maps.get_attribute("src") != first


def test_opacity_answers_without_the_server(page: Page, photo: Path) -> None:
    choose(page, photo)
    shown_map(page)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    heat = page.locator("#saliency img.heat")
    for percent in ("80", "20"):
        page.get_by_label("number input for Opacity of the map, %").fill(percent)
        page.keyboard.press("Tab")
        expect(heat).to_have_css("opacity", f"0.{percent.rstrip('0')}")
    sent = [url for url in requests if "/queue/join" in url or "/run/" in url or "/call/" in url]
    assert not sent


def test_opacity_stays_when_the_class_changes(page: Page, photo: Path) -> None:
    choose(page, photo)
    shown_map(page)
    page.get_by_label("number input for Opacity of the map, %").fill("30")
    page.keyboard.press("Tab")
    page.get_by_label("Class to explain").click()
    page.get_by_role("option", name=re.compile("Vascular")).click()
    expect(page.locator("#saliency figcaption")).to_contain_text("Vascular", timeout=PATIENCE)
    heat = page.locator("#saliency img.heat")
    if heat.count():
        expect(heat).to_have_css("opacity", "0.3")


def test_a_bad_file_gets_one_sentence_and_the_next_photo_works(
    page: Page, photo: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photo.read_bytes()[:5000])
    choose(page, broken)
    refusal = page.get_by_role("alert")
    expect(refusal).to_contain_text("damaged or cut short", timeout=PATIENCE)
    assert "Traceback" not in page.content()
    expect(page.locator("#saliency img")).to_have_count(0)

    page.get_by_label("Clear").or_(page.get_by_label("Remove Image")).first.click()
    choose(page, photo)
    shown_map(page)
    expect(refusal).to_have_count(0)


def test_clearing_the_photo_clears_the_result(page: Page, photo: Path) -> None:
    choose(page, photo)
    shown_map(page)
    page.get_by_label("Clear").or_(page.get_by_label("Remove Image")).first.click()
    expect(page.locator("#sentence")).to_contain_text("as soon as there is a photo", timeout=PATIENCE)
    expect(page.locator("#saliency img")).to_have_count(0)


def test_a_pasted_photo_is_read(chromium: Browser, address: str) -> None:
    context = chromium.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = opened(context.new_page(), address)
    page.evaluate("""async () => {
        const canvas = document.createElement('canvas'); canvas.width = canvas.height = 200;
        const brush = canvas.getContext('2d');
        brush.fillStyle = '#e5b299'; brush.fillRect(0, 0, 200, 200);
        brush.fillStyle = '#5b3420'; brush.beginPath(); brush.arc(100, 100, 60, 0, 7); brush.fill();
        const png = await new Promise(done => canvas.toBlob(done, 'image/png'));
        await navigator.clipboard.write([new ClipboardItem({'image/png': png})]);
    }""")
    page.locator("#photo").get_by_label("Paste from clipboard").click()
    expect(page.locator("#sentence")).to_contain_text("Most probable:", timeout=PATIENCE)
    context.close()


def test_a_photo_from_the_camera_is_read(chromium: Browser, address: str) -> None:
    context = chromium.new_context(permissions=["camera"])
    page = opened(context.new_page(), address)
    page.locator("#photo").get_by_label("Capture from camera").click()
    page.locator("#photo").get_by_text("Click to Access Webcam").click()
    # As a person would: press the button once the camera's picture is there.
    page.wait_for_function("document.querySelector('#photo video')?.readyState >= 3", timeout=PATIENCE)
    page.wait_for_timeout(500)
    page.locator("#photo").get_by_label("capture photo").click(timeout=PATIENCE)
    expect(page.locator("#sentence")).to_contain_text("Most probable:", timeout=PATIENCE)
    context.close()


def test_the_page_needs_nobody_else(context: BrowserContext, address: str, photo: Path) -> None:
    outside: list[str] = []
    failed: list[str] = []
    page = context.new_page()
    page.route(
        lambda url: not url.startswith((address, "data:", "blob:")), lambda route: (outside.append(route.request.url), route.abort())
    )  # fmt: skip
    page.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
    page.on("pageerror", lambda error: failed.append(str(error)))
    choose(opened(page, address), photo)
    shown_map(page)
    assert outside == []
    assert failed == []
