"""axe-core finds nothing against WCAG 2.1 A and AA on any tab, empty or filled, light or dark, wide or narrow."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.serving import browser

RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]},
    "resultTypes": ["violations"],  # the elements that broke no rule need not be named one by one
}
PATIENCE = 60_000  # milliseconds
ARRIVES = 700  # milliseconds, until what moves or fades in is there


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as chromium:
        yield chromium


def check(page: Page, where: str) -> None:
    expect(page.get_by_text("One moment.").locator("visible=true")).to_have_count(0, timeout=PATIENCE)
    page.wait_for_timeout(ARRIVES)
    found = Axe().run(page, options=RULES).response["violations"]
    told = [f"{v['id']} at {node['target']}: {node['html'][:120]}" for v in found for node in v["nodes"]]
    assert not told, where + "\n" + "\n".join(told)


@pytest.mark.parametrize(("size", "theme"), [((1280, 800), "light"), ((390, 844), "dark")])
def test_no_tab_breaks_a_rule(chromium: Browser, address: str, size: tuple[int, int], theme: str) -> None:
    context = chromium.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    page.goto(address)
    page.locator("#photo").wait_for(timeout=PATIENCE)
    check(page, "the empty page")
    page.locator("#examples button").first.click()
    page.locator("#saliency img.heat").wait_for(timeout=PATIENCE)
    main = page.locator("#main-tabs > .tab-wrapper [role=tab]")
    assert main.all_inner_texts() == ["One lesion", "Many photos", "Performance", "About"]
    for tab in main.all():
        tab.click()
        page.wait_for_timeout(ARRIVES)
        views = page.locator("#main-tabs .tabitem .tab-wrapper [role=tab]:visible").all()
        for view in views or [tab]:  # the first one is what the tab itself shows
            view.click()
            check(page, f"the tab {tab.inner_text()}, {view.inner_text()}")
    context.close()


def test_the_first_visit_works_by_keyboard(chromium: Browser, address: str, tmp_path: Path) -> None:
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    page.goto(address)
    page.locator("#photo").wait_for(timeout=PATIENCE)
    page.locator("#examples button").first.focus()
    page.keyboard.press("Enter")
    page.locator("#saliency img.heat").wait_for(timeout=PATIENCE)
    square = page.get_by_role("group", name="What the network reads")
    square.focus()
    before = square.evaluate("square => square.style.width")
    first = page.locator("#saliency .stack img").first.get_attribute("src")
    for _ in range(6):
        page.keyboard.press("-")
    page.wait_for_function(
        "first => document.querySelector('#saliency .stack img')?.src !== first", arg=first, timeout=PATIENCE
    )
    assert square.evaluate("square => square.style.width") != before
    page.close()
