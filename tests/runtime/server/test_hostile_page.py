"""Names of sensors, sinks and files on the dashboard are text, whatever is in them: looked at in the browser's own document."""

from __future__ import annotations

from pathlib import Path

from tests.browser import Page
from tests.hostile import few_or_all
from tests.regression.test_a_name_that_forged_a_line_of_the_log import _named
from tests.runtime.server.served import Served, SteeredDaemon
from tests.runtime.server.test_page import LIVE, see

#: Every element of the page by tag, and what an attack that worked would leave behind.
SHAPE = """
JSON.stringify([
  [...document.querySelectorAll("script, img, iframe, object, embed, style, link, form, input, base, meta")]
    .map((each) => each.tagName + (each.getAttribute("src") ?? each.getAttribute("href") ?? "")),
  [...document.querySelectorAll("*")].flatMap((each) => [...each.attributes])
    .filter((each) => each.name.startsWith("on") || each.value.startsWith("javascript:")).map((each) => each.name),
  window.OWNED === undefined,
])
"""


def test_names_are_text(tmp_path: Path) -> None:
    names = [name for name in few_or_all(400, 9) if any(c in name for c in "<>&\"'`{")]
    names = names if len(names) > 400 else names[:40]  # a browser looks at each
    assert len(names) >= 40

    async def story(page: Page, one: Served) -> None:
        one.walk()
        await page.go(one.url)
        await page.until(LIVE)
        await page.until("document.querySelectorAll('#sinks li').length")
        plain = await page.ask(SHAPE)
        for number, name in enumerate(names):
            shown = f"<b>{number}</b>{name}"

            def rename(daemon: SteeredDaemon, shown: str = shown) -> None:
                daemon.shown = _named(shown)

            one.do(rename)
            await page.until(
                "document.querySelector('#sinks .name').textContent",
                lambda text, number=number: text.startswith(f"<b>{number}</b>"),  # type: ignore[misc]
            )
            assert await page.ask(SHAPE) == plain, name

    see(tmp_path, story)
