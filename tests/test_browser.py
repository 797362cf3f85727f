"""The page in a real Chromium, with the shipped weights: what a clinician does on a first visit."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from skinapp.photo.cases import first_of_each
from skinapp.photo.drawings import draw_lesion
from skinapp.words import STRANGE
from tests.serving import browser

DESKTOP = 1280, 800
PATIENCE = 60_000  # milliseconds: the first photo waits for TensorFlow


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as chromium:
        yield chromium


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
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


def insisted(page: Page) -> None:
    """Asks for the result of what is no dermatoscopic photo."""
    page.get_by_role("button", name="Show it anyway").click(timeout=PATIENCE)


def example(page: Page) -> str:
    """Chooses the first drawing; returns its map's picture."""
    page.locator("#examples button").first.click()
    return shown_map(page)


def calls(page: Page) -> list[str]:
    """The requests to the server's functions from now on."""
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url) if "/queue/join" in request.url else None)
    return requests


@pytest.mark.parametrize(("size", "theme"), [(DESKTOP, "light"), ((390, 844), "dark")])
def test_the_first_visit(
    chromium: Browser, address: str, photo: Path, size: tuple[int, int], theme: str
) -> None:
    width, height = size
    context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
    page = opened(context.new_page(), address)
    notice = page.get_by_role("note")
    expect(notice).to_contain_text("Not a medical device")
    expect(notice).to_be_in_viewport()
    assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")

    choose(
        page, photo
    )  # a drawing, loaded as if it were a photo: the result is withheld until it is asked for
    expect(page.locator("#sentence")).to_contain_text(
        "does not look like a dermatoscopic photo", timeout=PATIENCE
    )
    expect(page.locator("#bars li")).to_have_count(0)
    expect(page.locator("#saliency img")).to_have_count(0)
    insisted(page)
    expect(page.locator("#sentence")).to_contain_text("90 % prediction set:", timeout=PATIENCE)
    expect(page.locator("#sentence")).to_contain_text(STRANGE)
    expect(page.locator("#sentence")).to_contain_text(re.compile("lagged .* the threshold of"))
    bars = page.locator("#bars .share")
    expect(bars).to_have_count(7)
    widths = [
        float(style)
        for style in page.locator("#bars li .track span").evaluate_all(
            "spans => spans.map(span => parseFloat(span.style.width))"
        )
    ]
    assert widths == sorted(widths, reverse=True) and 99 <= sum(widths) <= 101
    assert shown_map(page).startswith("data:image/png;base64,")
    expect(page.locator("#saliency")).to_contain_text("strongest")
    expect(page.locator("#saliency .trust")).to_contain_text("falls inside the lesion")
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    if size == DESKTOP:
        expect(page.locator("#bars")).to_be_in_viewport(ratio=0.8)
        expect(page.locator("#saliency .stacks")).to_be_in_viewport(ratio=0.95)
    context.close()


def test_an_example_says_what_it_is_only_once_it_is_looked_at(page: Page) -> None:
    for case in first_of_each():
        assert case.name not in page.locator("#examples").inner_text() or not case.name
    expect(page.locator("#examples button")).to_have_count(8)
    example(page)
    credit = page.locator("#credit")
    expect(credit).to_contain_text(
        "The lesion in this example: Actinic keratosis / Bowen's disease, known by histology."
    )
    expect(credit).to_contain_text("CC BY-NC 4.0")
    page.get_by_role("button", name="New photo").click()
    page.locator("#examples button").last.click()
    expect(page.locator("#sentence")).to_contain_text("does not look like a dermatoscopic", timeout=PATIENCE)
    expect(credit).to_contain_text("This example is no lesion.")


def test_another_class_and_another_method_get_their_own_map(page: Page) -> None:
    first = example(page)
    page.get_by_label("Class to explain").click()
    page.get_by_role("option", name=re.compile("Basal cell")).click()
    expect(page.locator("#saliency figcaption")).to_contain_text("Basal cell carcinoma", timeout=PATIENCE)
    maps = page.locator("#saliency img.heat")
    assert maps.count() == 0 or maps.get_attribute("src") != first
    page.get_by_label("Method").click()
    page.get_by_role("option", name="SmoothGrad").click()
    expect(page.locator("#saliency figcaption")).to_contain_text("SmoothGrad", timeout=PATIENCE)
    expect(page.locator("#saliency .trust")).to_contain_text("it says little about this network")


def test_opacity_and_view_answer_without_the_server(page: Page) -> None:
    example(page)
    sent = calls(page)
    heat = page.locator("#saliency img.heat")
    for percent in ("80", "20"):
        page.get_by_label("number input for Opacity, %").fill(percent)
        page.keyboard.press("Tab")
        expect(heat).to_have_css("opacity", f"0.{percent.rstrip('0')}")
    bare = page.locator("#saliency .stack.bare")
    expect(bare).to_be_hidden()
    page.get_by_role("button", name="Side by side").click()
    expect(bare).to_be_visible()
    page.get_by_role("button", name="Photo", exact=True).click()
    expect(heat).to_have_css("visibility", "hidden")
    page.get_by_role("button", name="Map over it").click()
    expect(heat).to_have_css("visibility", "visible")
    assert not sent


def test_opacity_stays_when_the_class_changes(page: Page) -> None:
    example(page)
    page.get_by_label("number input for Opacity, %").fill("30")
    page.keyboard.press("Tab")
    page.get_by_label("Class to explain").click()
    page.get_by_role("option", name=re.compile("Vascular")).click()
    expect(page.locator("#saliency figcaption")).to_contain_text("Vascular", timeout=PATIENCE)
    heat = page.locator("#saliency img.heat")
    if heat.count():
        expect(heat).to_have_css("opacity", "0.3")


def test_the_operating_point_changes_the_words(page: Page) -> None:
    example(page)
    target = page.locator("#sentence .headline")
    for share in ("90 %", "98 %", "95 %"):  # 95 % is where it stands at first
        before = target.inner_text()
        page.get_by_label(share, exact=True).check()
        expect(target).not_to_have_text(before, timeout=PATIENCE)
        expect(target).to_contain_text("false alarms for each one found")


def test_the_frame_decides_what_is_read(page: Page) -> None:
    example(page)
    seen = page.locator("#saliency .stack:not(.bare) img").first
    whole = seen.get_attribute("src")
    corner = page.locator(".frame-corner").bounding_box()
    assert corner is not None
    x, y = corner["x"] + corner["width"] / 2, corner["y"] + corner["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 90, y - 90, steps=5)
    page.mouse.up()
    expect(seen).not_to_have_attribute("src", whole or "", timeout=PATIENCE)
    smaller = seen.get_attribute("src")
    box = page.locator(".frame-square").bounding_box()
    assert box is not None and box["width"] == pytest.approx(box["height"], abs=2)

    page.get_by_role("button", name="Right").click()
    expect(seen).not_to_have_attribute("src", smaller or "", timeout=PATIENCE)
    page.get_by_role("button", name="Left").click()
    expect(seen).to_have_attribute("src", smaller or "", timeout=PATIENCE)
    page.get_by_role("button", name="Reset crop").click()
    expect(seen).to_have_attribute("src", whole or "", timeout=PATIENCE)


def test_two_quick_quarter_turns_are_two(page: Page) -> None:
    example(page)
    seen = page.locator("#saliency .stack:not(.bare) img").first
    right = page.get_by_role("button", name="Right")
    pictures = [seen.get_attribute("src") or ""]
    for _ in range(4):
        right.click()
        expect(seen).not_to_have_attribute("src", pictures[-1], timeout=PATIENCE)
        pictures.append(seen.get_attribute("src") or "")
    assert pictures[4] == pictures[0]
    right.click()
    right.click()
    expect(seen).to_have_attribute("src", pictures[2], timeout=PATIENCE)


def test_a_slow_map_does_not_arrive_beside_the_next_result(page: Page) -> None:
    example(page)
    picture = "#saliency .stack:not(.bare) img"
    upright = page.locator(picture).first.get_attribute("src")
    page.evaluate(
        """(picture) => {
          window.shown = [];
          const note = () => window.shown.push(document.querySelector(picture)?.src);
          new MutationObserver(note).observe(document.querySelector('#saliency'), {childList: true, subtree: true});
        }""",
        picture,
    )
    page.get_by_label("Method").click()
    page.get_by_role("option", name="SmoothGrad").click()  # takes longer than to read the photo anew
    page.get_by_role("button", name="Right").click()
    expect(page.locator(picture).first).not_to_have_attribute("src", upright or "", timeout=PATIENCE)
    page.get_by_label("Class to explain").click()
    page.get_by_role("option", name=re.compile("Basal cell")).click()  # waits until the first map is through
    expect(page.locator("#saliency figcaption")).to_contain_text(
        "SmoothGrad for Basal cell", timeout=PATIENCE
    )
    shown = page.evaluate("window.shown")
    turned = next(number for number, src in enumerate(shown) if src not in (upright, None))
    assert upright not in shown[turned:]


def test_a_result_is_taken_along(page: Page) -> None:
    example(page)
    page.get_by_role("tab", name="Export").click()
    page.get_by_label("Case label (optional)").fill("case 7")
    for button, name, begins in [
        ("Report (PDF)", "skinapp-report.pdf", b"%PDF"),
        ("Data (JSON)", "skinapp-reading.json", b"{"),
        ("Overlay (PNG)", "skinapp-overlay.png", b"\x89PNG"),
    ]:
        with page.expect_download(timeout=PATIENCE) as download:
            page.get_by_role("button", name=button).click()
        assert download.value.suggested_filename == name
        data = Path(download.value.path()).read_bytes()
        assert data.startswith(begins) and len(data) > 500
        if name.endswith("json"):
            assert json.loads(data)["case"] == "case 7"
    page.get_by_role("button", name="New photo").click()
    page.locator("#examples button").first.click()
    expect(page.get_by_label("Case label (optional)")).to_have_value("")  # it was the other case's


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
    choose(page, photo)
    insisted(page)
    shown_map(page)
    expect(refusal).to_have_count(0)


def test_a_refused_photo_is_refused_again_after_others(page: Page, photo: Path, tmp_path: Path) -> None:
    """Gradio's own decoder must not take over from ours, in no later turn."""
    cmyk = tmp_path / "cmyk.jpg"
    draw_lesion("nv").convert("CMYK").save(cmyk)
    for _ in range(2):
        choose(page, cmyk)
        expect(page.get_by_role("alert")).to_contain_text("CMYK", timeout=PATIENCE)
        choose(page, photo)
        insisted(page)
        shown_map(page)
        page.get_by_role("button", name="New photo").click()
        expect(page.locator("#photo")).to_be_visible(timeout=PATIENCE)


def drop(page: Page, files: dict[str, bytes], where: str) -> None:
    """Files dropped on an element, by their names."""
    page.evaluate(
        """([files, where]) => {
            const carried = new DataTransfer();
            for (const [name, bytes] of files) carried.items.add(new File([new Uint8Array(bytes)], name));
            document.querySelector(where).dispatchEvent(
                new DragEvent('drop', { dataTransfer: carried, bubbles: true, cancelable: true }));
        }""",
        [[[name, list(content)] for name, content in files.items()], where],
    )


def test_every_format_comes_in_by_the_one_field(page: Page, tmp_path: Path) -> None:
    """A browser gives a DICOM or TIFF file no type that begins with image/."""
    path = tmp_path / "drawn.tiff"
    draw_lesion("nv", size=(130, 110)).save(path)
    drop(page, {"drawn.tiff": path.read_bytes()}, ".dropzone .choose")
    insisted(page)
    shown_map(page)


def test_two_photos_dropped_at_once_open_many_photos(page: Page) -> None:
    one, two = first_of_each()[:2]
    drop(page, {f"{case.id}.jpg": case.path.read_bytes() for case in (one, two)}, "#result-column")
    expect(page.get_by_role("tab", name="Many photos")).to_have_attribute("aria-selected", "true")
    files = page.locator("#many-files")
    expect(files.locator("tr.file")).to_have_count(2, timeout=PATIENCE)


def test_the_viewer_zooms_and_answers_to_keys(page: Page) -> None:
    example(page)
    layer = page.locator("#saliency .stack:not(.bare) .layer")
    box = layer.bounding_box()
    assert box is not None and box["width"] >= 420
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -400)
    expect(layer).to_have_attribute("style", re.compile(r"scale\(2\.7"))
    assert page.evaluate("scrollY") == 0, "the wheel does not scroll the page, too"
    linked = page.locator("#saliency .layer").evaluate_all("all => all.map(one => one.style.transform)")
    assert len(set(linked)) == 1
    page.keyboard.press("0")
    expect(layer).to_have_attribute("style", re.compile(r"scale\(1\)"))
    page.keyboard.down("m")
    expect(page.locator("#saliency img.heat")).to_have_css("visibility", "hidden")
    page.keyboard.up("m")
    expect(page.locator("#saliency img.heat")).to_have_css("visibility", "visible")
    second = page.locator("#bars li .name").nth(1).inner_text().split(" bkl")[0]
    page.keyboard.press("2")
    expect(page.locator("#saliency figcaption strong")).to_have_text(second, timeout=PATIENCE)
    page.get_by_role("button", name="Three classes").click()
    expect(page.locator("#saliency .three .stack:not(.bare)")).to_have_count(3, timeout=PATIENCE)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    expect(page.locator(".dropzone .choose")).to_be_focused(timeout=PATIENCE)


def test_a_phone_goes_to_the_result(chromium: Browser, address: str, photo: Path) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = opened(context.new_page(), address)
    intake = page.locator("#intake")
    assert not re.search("drop|webcam|paste", intake.inner_text(), re.IGNORECASE)
    expect(intake.get_by_role("button", name="Take photo")).to_be_visible()
    assert page.locator(".dropzone .rear").get_attribute("capture") == "environment"
    page.locator("#examples button").nth(4).tap()
    expect(page.locator("#sentence .headline")).to_be_focused(timeout=PATIENCE)
    expect(page.locator("#sentence .headline h2")).to_be_in_viewport()
    small = page.locator("#photo-column button:visible, #saliency button:visible").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect()).filter(box => box.height < 44).length"
    )
    assert small == 0
    context.close()


def test_a_new_photo_clears_the_result(page: Page) -> None:
    example(page)
    page.get_by_role("button", name="New photo").click()
    expect(page.locator("#sentence")).to_contain_text("as soon as there is a photo", timeout=PATIENCE)
    expect(page.locator("#saliency img")).to_have_count(0)
    expect(page.locator("#photo")).to_be_visible()


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
    page.keyboard.press("Control+V")
    insisted(page)
    shown_map(page)
    context.close()


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_a_photo_that_comes_to_no_field_is_read(page: Page, photo: Path, way: str) -> None:
    """By Ctrl+V, or dropped beside the field: first on the empty page, then while another photo is looked at."""
    content = list(photo.read_bytes())
    seen = ""
    for _ in range(2):
        page.evaluate(
            """([way, bytes]) => {
                const files = new DataTransfer();
                files.items.add(new File([new Uint8Array(bytes)], 'photo.jpg', { type: 'image/jpeg' }));
                const rest = { bubbles: true, cancelable: true };
                document.querySelector('#result-column').dispatchEvent(way == 'paste'
                    ? new ClipboardEvent('paste', { clipboardData: files, ...rest })
                    : new DragEvent('drop', { dataTransfer: files, ...rest }));
            }""",
            [way, content],
        )
        insisted(page)
        seen = shown_map(page)
    assert seen


def test_a_photo_from_the_camera_is_read(chromium: Browser, address: str) -> None:
    context = chromium.new_context(permissions=["camera"])
    page = opened(context.new_page(), address)
    page.get_by_role("button", name="Use camera").click()
    # As a person would: press the button once the camera's picture is there.
    page.wait_for_function("document.querySelector('#photo video')?.readyState >= 3", timeout=PATIENCE)
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Take the photo").click(timeout=PATIENCE)
    insisted(page)
    shown_map(page)
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
    insisted(page)
    shown_map(page)
    assert outside == []
    assert failed == []
