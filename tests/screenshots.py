"""The README's picture: `make screenshots`, with the shipped weights and a drawn lesion."""

import tempfile
from pathlib import Path

from skinapp.drawings import draw_lesion
from tests.serving import ROOT, browser, running_app


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        photo = Path(folder) / "drawn-lesion.jpg"
        draw_lesion("mel", seed=2).save(photo, quality=95)
        with running_app(Path(folder) / "log.txt") as address:
            page = chromium.new_page(viewport={"width": 1280, "height": 800})
            page.goto(address)
            page.set_input_files("#photo input[type=file]", photo)
            page.locator("#saliency img.heat").wait_for(timeout=60_000)
            page.wait_for_timeout(1000)  # the bars grow
            page.screenshot(path=ROOT / "docs" / "page.png")


if __name__ == "__main__":
    main()
