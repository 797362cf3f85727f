"""The pictures in docs/: `make screenshots`, with the shipped weights and the photos that travel with the program."""

import tempfile
from pathlib import Path

from playwright.sync_api import Page

from skinapp.photo.cases import cases
from tests.serving import ROOT, browser, running_app

DOCS = ROOT / "docs"
PATIENCE = 60_000  # milliseconds


def one_lesion(page: Page, name: str, whole: bool = False) -> None:
    page.locator("#examples button").nth(4).click()  # a melanoma
    page.locator("#saliency img.heat").wait_for(timeout=PATIENCE)
    take(page, name, whole)


def many_photos(page: Page, photos: list[Path], name: str) -> None:
    page.get_by_role("tab", name="Many photos").click()
    page.set_input_files("#many-files input[type=file]", photos)
    page.wait_for_timeout(2000)
    page.locator("#many-start").click()
    page.locator("#many-progress").get_by_text(f"{len(photos)} photos in").wait_for(timeout=PATIENCE)
    take(page, name)


def how_good(page: Page, name: str) -> None:
    page.get_by_role("tab", name="Performance").click()
    page.get_by_role("tab", name="Operating points").click()
    page.locator("#costs .card").first.wait_for(timeout=PATIENCE)
    take(page, name)


def take(page: Page, name: str, whole: bool = False) -> None:
    page.wait_for_timeout(1000)  # what moves has arrived
    page.screenshot(path=DOCS / name, full_page=whole)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        photos = [case.path for case in cases()[::10]]  # one of each class, and the everyday object
        with running_app(Path(folder) / "log.txt") as address:
            for theme, phone in (("light", False), ("light", True), ("dark", False)):
                size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 800}
                page = chromium.new_context(viewport=size, color_scheme=theme).new_page()  # type: ignore[arg-type]
                page.goto(address)
                page.locator("#photo").wait_for(timeout=PATIENCE)
                if phone:
                    one_lesion(page, "phone.png", whole=True)
                elif theme == "dark":
                    one_lesion(page, "dark.png")
                else:
                    one_lesion(page, "page.png")
                    many_photos(page, photos, "many.png")
                    how_good(page, "performance.png")


if __name__ == "__main__":
    main()
