"""axe found on the dashboard: terms (``dt``, ``dd``) outside of a list of terms, and a button whose name is not what it shows.

Rules ``dlitem`` and ``label-content-name-mismatch`` of axe-core, asked of the page as its scripts have made it.
"""

from __future__ import annotations

from pathlib import Path

from tests.browser import Page
from tests.runtime.server.served import Served
from tests.runtime.server.test_page import LIVE, see

#: Terms whose list is not a dl, by the element that holds them.
LOOSE = """
[...document.querySelectorAll("dt, dd")].filter((each) => {
  const parent = each.parentElement.tagName === "DIV" ? each.parentElement.parentElement : each.parentElement;
  return parent.tagName !== "DL";
}).map((each) => each.parentElement.outerHTML.slice(0, 80))
"""
#: What may be pressed whose name does not hold what it shows (WCAG 2.5.3).
MISNAMED = """
[...document.querySelectorAll("button, a, summary, [role=button]")].filter((each) => {
  const name = each.getAttribute("aria-label");
  return name !== null && !name.toLowerCase().includes(each.textContent.trim().toLowerCase());
}).map((each) => each.outerHTML)
"""


def test_terms_stand_in_lists_and_buttons_are_called_what_they_show(tmp_path: Path) -> None:
    async def story(page: Page, one: Served) -> None:
        one.walk()
        await page.go(one.url)
        await page.until(LIVE)
        await page.until("document.querySelectorAll('#quantiles dt').length", lambda count: count > 2)
        assert await page.ask(LOOSE) == []
        for theme in ("auto", "light", "dark"):
            await page.until(
                "document.getElementById('theme').innerText", lambda text, theme=theme: text == theme
            )  # type: ignore[misc]
            assert await page.ask(MISNAMED) == []
            await page.ask("document.getElementById('theme').click()")

    see(tmp_path, story)
