"""The tab for many photos in a real Chromium, with the shipped weights."""

import csv
import io
import json
import os
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio_client import Client, handle_file
from playwright.sync_api import Browser, Page, expect

from skinapp.lesions import CODES
from skinapp.network.classifier import load
from skinapp.output.rows import COLUMNS, Row
from skinapp.page import many
from skinapp.page.many import THUMBNAIL, Run
from skinapp.page.many_table import PAGE_ROWS, Order, table_html
from skinapp.page.uploads import Upload, Uploads
from skinapp.photo.cases import cases
from skinapp.photo.sources import Source
from skinapp.service.engine import Engine
from tests.conftest import MOST_FILES
from tests.serving import browser

DESKTOP = 1280, 800
PATIENCE = 60_000  # milliseconds: the first batch waits for TensorFlow
LONG = 3000  # photos of a run that will not end by itself during a test


def jpeg(code: str, number: int) -> bytes:
    """One of the ten photos of a class that travel with the program."""
    return [case for case in cases() if case.dx == code][number % 10].path.read_bytes()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as chromium:
        yield chromium


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    yield opened(context.new_page(), address)
    context.close()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A ZIP of eleven drawn photos and a broken file, a photo of its own, and the dx of the twelve."""
    folder = tmp_path_factory.mktemp("photos")
    packed, alone, labels = folder / "packed.zip", folder / "alone.jpg", folder / "labels.csv"
    lines = ["image_id,dx", "alone,mel"]
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(11):
            archive.writestr(f"secret_{number:02}.jpg", jpeg(CODES[number % 7], number))
            lines.append(f"secret_{number:02},{CODES[number % 7]}")
        archive.writestr("broken<b>.jpg", b"nothing")
    alone.write_bytes(jpeg("mel", 99))
    labels.write_text("\n".join(lines))
    return [packed, alone, labels]


@pytest.fixture(scope="module")
def long_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "long.zip"
    drawn = [jpeg(code, 1) for code in CODES]
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(LONG):
            archive.writestr(f"{number:04}.jpg", drawn[number % 7])
    return path


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    page.get_by_role("tab", name="Many photos").click(timeout=PATIENCE)
    expect(page.locator("#many-files")).to_be_visible(timeout=PATIENCE)
    return page


def choose(page: Page, files: list[Path]) -> None:
    page.set_input_files("#many-files input[type=file]", files)
    for file in files:
        expect(page.locator("#many-files")).to_contain_text(file.stem, timeout=PATIENCE)


def start(page: Page, files: list[Path]) -> None:
    choose(page, files)
    page.get_by_role("button", name="Start").click()


def ended(page: Page, says: str) -> None:
    expect(page.locator("#many-progress")).to_contain_text(says, timeout=PATIENCE)
    expect(page.get_by_role("button", name="Start")).to_be_enabled()


def column(page: Page, number: int) -> list[str]:
    """The cells of the rows that were read."""
    rows = page.locator("#many-table tbody tr:not(.broken)")
    return [rows.nth(i).locator("th, td").nth(number).inner_text() for i in range(rows.count())]


def malignant(page: Page) -> list[float]:
    return [float(text.split()[0]) for text in column(page, 2)]


@pytest.mark.parametrize(("size", "theme"), [(DESKTOP, "light"), ((390, 844), "dark")])
def test_photos_become_a_table(
    chromium: Browser, address: str, photos: list[Path], size: tuple[int, int], theme: str
) -> None:
    width, height = size
    context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
    page = opened(context.new_page(), address)
    start(page, photos[:2])
    ended(page, "13 photos in")
    expect(page.locator("#many-progress")).to_contain_text("1 of them could not be read")
    shares = malignant(page)
    assert len(shares) == 12
    assert shares == sorted(shares, reverse=True), "the most suspicious photo comes first"
    assert page.locator("#many-table img").count() == 12
    assert set(column(page, 1)) == {"! Flagged", "Not flagged"}
    assert all("%" in text for text in column(page, 4))
    assert all(set(text.split(", ")) <= set(CODES) for text in column(page, 3))
    broken = page.locator("#many-table tbody tr").last
    expect(broken).to_contain_text("broken<b>.jpg")
    expect(broken).to_contain_text("not a picture that can be read here")
    expect(page.locator("#many-evaluation")).to_be_empty()
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    if size == DESKTOP:
        assert page.evaluate("document.documentElement.scrollHeight") <= height, "the table needs scrolling"
    context.close()


def test_what_is_no_dermatoscopic_photo_gets_no_result_in_the_table(page: Page, tmp_path: Path) -> None:
    scene = next(case for case in cases() if not case.dx)
    lesion = tmp_path / "lesion.jpg"
    lesion.write_bytes(jpeg("mel", 1))
    start(page, [scene.path, lesion])
    ended(page, "2 photos in")
    last = page.locator("#many-table tbody tr").last
    expect(last).to_contain_text("scene.jpg")
    expect(last).to_contain_text("No result shown. This does not look like a dermatoscopic photo.")
    expect(last.locator(".flag, .share, .kind")).to_have_count(0)


def test_headers_sort_by_mouse_and_keyboard(page: Page, photos: list[Path]) -> None:
    start(page, photos[:2])
    ended(page, "13 photos in")
    header = page.get_by_role("columnheader", name="Malignant or premalignant")
    expect(header).to_have_attribute("aria-sort", "descending")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    assert malignant(page) == sorted(malignant(page))
    expect(page.locator("#many-table tbody tr").last).to_have_class("broken")

    name = page.get_by_role("columnheader", name="Photo", exact=False).first
    name.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(name).to_have_attribute("aria-sort", "ascending")
    expect(name.get_by_role("button")).to_be_focused()
    assert column(page, 0) == sorted(column(page, 0))
    page.keyboard.press("Space")
    expect(name).to_have_attribute("aria-sort", "descending")
    assert column(page, 0) == sorted(column(page, 0), reverse=True)


def test_downloads_hold_what_the_table_shows_and_name_nobody(page: Page, photos: list[Path]) -> None:
    start(page, photos)
    ended(page, "13 photos in")
    expect(page.locator("#many-evaluation")).to_contain_text("Evaluation of 12 photos with a dx")
    saved = {}
    for ending in ("CSV", "JSON"):
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Download {ending}").or_(
                page.get_by_role("button", name=f"Download {ending}")
            ).first.click()
        assert download.value.suggested_filename == f"skinapp.{ending.lower()}"
        assert not re.search("secret|packed|alone", download.value.url)
        saved[ending] = download.value.path().read_text(encoding="utf-8")
    assert saved["CSV"].startswith("\ufeff"), "or else Excel would read letters with accents wrongly"
    saved["CSV"] = saved["CSV"].removeprefix("\ufeff")
    rows = list(csv.DictReader(io.StringIO(saved["CSV"])))
    answer = json.loads(saved["JSON"])
    assert tuple(rows[0]) == COLUMNS
    assert [row["image"] for row in rows] == [row["file"] for row in answer["rows"]]
    assert len(rows) == 13
    for line, row in zip(rows, answer["rows"], strict=True):
        assert line["error"] == row.get("error", "")
        if not line["error"]:
            assert line["label"] == row["label"]
            assert float(line["malignant"]) == pytest.approx(row["malignant"], abs=1e-6)
    shares = sorted(
        (round(100 * row["malignant"], 1) for row in answer["rows"] if "error" not in row), reverse=True
    )
    assert shares == pytest.approx(malignant(page), abs=0.11)

    right = [row["label"] == dx for row, dx in zip(answer["rows"], dx_of(photos, answer), strict=True) if dx]
    assert answer["evaluation"]["n"] == len(right) == 12
    assert answer["evaluation"]["accuracy"] == pytest.approx(sum(right) / 12)
    shown = f"{sum(right) / 12:.3f}".removeprefix("0")
    expect(page.locator("#many-evaluation")).to_contain_text(f"Accuracy {shown}")
    counts = page.locator("#many-evaluation td.count").all_inner_texts()
    assert sum(map(int, counts)) == 12
    assert sum(map(int, page.locator("#many-evaluation td.right").all_inner_texts())) == sum(right)


def dx_of(photos: list[Path], answer: dict) -> list[str | None]:
    labels = dict(line.split(",") for line in photos[2].read_text().splitlines())
    return [labels.get(Path(row["file"]).stem) for row in answer["rows"]]


def test_a_folder_can_be_chosen(page: Page, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"photo{number}.jpg").write_bytes(jpeg("nv", number))
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a folder").click()
    chooser.value.set_files(tmp_path)
    expect(page.locator("#many-files")).to_contain_text("photo2", timeout=PATIENCE)
    page.get_by_role("button", name="Start").click()
    ended(page, "3 photos in")
    assert len(malignant(page)) == 3


def test_cancel_keeps_what_is_done(page: Page, long_zip: Path) -> None:
    start(page, [long_zip])
    bar = page.get_by_role("progressbar", name="Photos read")
    expect(bar).to_have_attribute("max", str(LONG), timeout=PATIENCE)
    expect(page.locator("#many-progress")).to_contain_text(re.compile(r"\d+ of 3,000 photos, .* left"))
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    page.get_by_role("button", name="Cancel").click()
    ended(page, "Cancelled:")
    done = int(
        re.search(r"Cancelled: ([\d,]+) of", page.locator("#many-progress").inner_text())[1].replace(",", "")
    )  # type: ignore[index]
    assert 0 < done < LONG
    with page.expect_download() as download:
        page.locator("#many-csv").click()
    assert len(download.value.path().read_text().splitlines()) == done + 1
    assert page.locator("#many-table tbody tr").count() == min(done, PAGE_ROWS)


def test_long_runs_leave_room_for_others_and_end_with_their_page(
    chromium: Browser, address: str, long_zip: Path, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(jpeg("mel", 1))
    contexts = [chromium.new_context() for _ in range(2)]  # as many as run at once
    for context in contexts:
        page = opened(context.new_page(), address)
        start(page, [long_zip])
        expect(page.get_by_role("progressbar", name="Photos read")).to_have_attribute(
            "max", str(LONG), timeout=PATIENCE
        )
    client = Client(address, verbose=False, download_files=str(tmp_path / "downloads"))
    assert client.predict(handle_file(photo), api_name="/classify")["label"] in CODES
    for context in contexts:
        context.close()
    started = time.monotonic()
    answer = client.predict([handle_file(photo)], api_name="/classify_many")
    assert len(answer["rows"]) == 1
    assert time.monotonic() - started < 30, "the runs of closed pages still keep their places"


def test_nothing_too_much_and_a_wrong_csv_get_a_sentence(
    page: Page, photos: list[Path], long_zip: Path, tmp_path: Path
) -> None:
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no photo yet", timeout=PATIENCE)
    labels = tmp_path / "wrong.csv"
    labels.write_text("image,patient\nalone,mel\n")
    start(page, [photos[1], labels])
    ended(page, "1 photo in")
    expect(page.locator("#many-evaluation")).to_contain_text("No evaluation. The table needs a column dx")
    assert "Traceback" not in page.content()


def test_too_many_photos_are_refused(page: Page, long_zip: Path, photos: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        for number in range(MOST_FILES - LONG + 1):
            archive.writestr(f"x{number}.jpg", b"")
    start(page, [long_zip, other])
    expect(page.get_by_role("alert")).to_contain_text(f"more than {MOST_FILES} photos", timeout=PATIENCE)


def test_the_log_names_no_photo_and_holds_no_traceback(
    page: Page, photos: list[Path], app_folder: Path
) -> None:
    start(page, photos)
    ended(page, "13 photos in")
    text = (app_folder / "log.txt").read_text(errors="replace")
    assert "Traceback" not in text
    assert not re.search("secret|packed|alone|labels", text)


# Without a browser


def test_a_session_keeps_small_thumbnails_and_numbers_only(model_folder: Path) -> None:
    sources = [Source(f"{seed}.jpg", lambda seed=seed: jpeg("mel", seed)) for seed in range(20)]  # type: ignore[misc]
    run = Run(Uploads(sources, [], []), "tiny")
    assert list(run.results(load(model_folder))) == list(range(1, 21))
    assert [row.name for row in run.rows] == [source.name for source in sources]
    assert max(map(len, run.thumbnails)) < 4096
    assert THUMBNAIL <= 64
    assert not any(hasattr(row, "square") for row in run.rows)


def row(name: str, share: float = 0.5, error: str = "") -> Row:
    return Row(name, error) if error else Row(name, "", (1.0, 0, 0, 0, 0, 0, 0), share, ("akiec",))


Handlers = dict[str, Callable[..., Any]]


@pytest.fixture
def handlers(engine: Engine) -> Handlers:
    """The tab's event handlers by name."""
    with gr.Blocks() as page:
        many.add(engine)
    return {function.name: function.fn for function in page.fns.values() if function.fn}


@pytest.fixture
def upload(tmp_path: Path) -> Upload:
    """A photo that was uploaded an hour ago."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg("mel", 1))
    os.utime(path, (time.time() - 3600,) * 2)
    return Upload(path, path.name)


def test_a_run_that_waits_for_its_turn_keeps_its_photos(
    engine: Engine, handlers: Handlers, upload: Upload
) -> None:
    run, *page = handlers["begin"]([upload], engine.names[0])
    assert page[-1].active, "the timer ticks"
    handlers["still_wanted"](run)
    assert time.time() - upload.path.stat().st_mtime < 60
    *_, last = handlers["go_on"](run)
    assert "1 photo in" in last[0] and not last[-1].active and len(run.rows) == 1
    (again,) = handlers["go_on"](run)
    assert again == [gr.skip()] * len(again), "a run has one turn"


def test_labels_that_cannot_be_used_are_named_before_the_run(
    engine: Engine, handlers: Handlers, upload: Upload, tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_text("image_id,patient\nphoto,nv\n")
    _, waiting, _, evaluation, *_ = handlers["begin"](
        [upload, Upload(tmp_path / "labels.csv", "labels.csv")], engine.names[0]
    )
    assert "Waiting" in waiting and "No evaluation." in evaluation


def test_a_run_that_waits_can_be_cancelled_at_once(
    engine: Engine, handlers: Handlers, upload: Upload
) -> None:
    run, *_ = handlers["begin"]([upload], engine.names[0])
    told, *_, start, cancel, timer = handlers["stop"](run)
    assert "Cancelled" in told and start.interactive and not cancel.interactive and not timer.active
    *_, last = handlers["go_on"](run)
    assert "0 of 1 photos" in last[0] and not run.rows


def test_a_session_that_was_forgotten_is_told_so_but_a_refusal_stays(
    engine: Engine, handlers: Handlers
) -> None:
    ((told, *_, start, _, timer),) = handlers["go_on"](None)
    assert many.FORGOTTEN in told and start.interactive and not timer.active
    told, table = handlers["rearrange"](None, None)
    assert many.FORGOTTEN in told and table == gr.skip(), "what is on the screen stays"
    run, refusal, *_ = handlers["begin"]([], engine.names[0])
    assert "There is no photo yet" in refusal
    (after,) = handlers["go_on"](run)
    assert after == [gr.skip()] * len(after)


def test_pages_and_order_of_the_table() -> None:
    rows = [row(f"{i:03}.jpg", i / 1000) for i in range(2 * PAGE_ROWS + 1)] + [
        row("bad.jpg", error="Broken.")
    ]
    thumbnails = [""] * len(rows)
    first = table_html(rows, thumbnails, Order())
    assert first.count("<tr") == PAGE_ROWS + 1
    assert f"{2 * PAGE_ROWS:03}.jpg" in first and "Broken." not in first
    last = table_html(rows, thumbnails, Order().after("", 2))
    assert "000.jpg" in last and "Broken." in last
    assert table_html(rows, thumbnails, Order().after("", 99)) == last, "no page behind the last"
    for told in ("x", None, [], -5):
        assert Order().after("nowhere", told).page == 0
    assert Order(page=2).after("name", None) == Order("name", False, 0)


def test_names_are_text_in_the_table() -> None:
    evil = '"><script>alert(1)</script>.jpg'
    html = table_html([row(evil), row(evil, error=evil)], ["", ""], Order())
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 3
