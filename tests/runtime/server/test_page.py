"""The dashboard in a browser, as a person sees it, before a real server and a daemon that is steered by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.pipeline.estimate import State
from runtime.settings import ServerSettings
from runtime.status.status import CalibrationStatus
from tests.browser import Page, browser
from tests.runtime.server.served import SLIPPED, TOKEN, Served, served

Story = Callable[[Page, Served], Coroutine[Any, Any, None]]
LIVE = "document.body.dataset.link === 'live'"
WORD = "document.getElementById('state-word').innerText"


def see(tmp_path: Path, story: Story, settings: ServerSettings | None = None) -> None:
    """Tell a story to a fresh browser and a fresh server. Scripts must not have failed, and no policy refused anything."""

    async def job() -> None:
        with served(tmp_path, settings) as one:
            async with browser(tmp_path) as page:
                await page.size(1280, 900)
                await story(page, one)
                assert page.errors == []

    asyncio.run(asyncio.wait_for(job(), 150))


def test_all_figures_of_a_status_are_on_the_page(tmp_path: Path) -> None:
    async def story(page: Page, one: Served) -> None:
        one.walk(values=(0.316, -0.104, 1.2))
        await page.go(one.url)
        await page.until(LIVE)
        await page.until("document.getElementById('value-0')?.innerText", lambda text: text == "0.32")
        assert await page.text(".moments") == (
            "Joint moments last 10 s, Nm/kg\nok\ndegraded\nnothing to use\n"
            "Hip flexion\n0.32 Nm/kg\nKnee extension\n\u22120.10 Nm/kg\n"
            "Ankle plantarflexion\n1.20 Nm/kg"
        )
        assert "left leg · synthetic gait" in await page.text("header")
        shown = (await page.text("main")).replace("\n", " ")
        for words in (
            "Age, p50 ≤ 2.0 ms", "Age, p99 ≤ 5.0 ms", "longest 22.0 ms", "deadlines missed 1", "Clock error ± 0.75 ms",
            "Running 2 min 5 s", "after 1.75 s", "12\u202f000 moments", "99.8 of 100 Hz", "4 channels, m/s²",
            "1 channel, mV nothing came", "25 of 12\u202f500 (0.20 %)", "down ble://shank no answer",
            "± 0.75 \u221212.5 1 87 %",
            "udp://192.168.1.20:9000 12\u202f460 published, 0 dropped", "no connection: refused; tries again in 4 s",
            "native 1, int8 stream", "100 Hz, window 64 rows", "2 wait, 5 dropped", "2, refused 1", "session.etl, 1.2 MB",
            "Not handed on: 9 packet with NaN.",
        ):  # fmt: skip
            assert " ".join(words.split()) in " ".join(shown.split()), words
        row = await page.ask(
            "[...document.querySelectorAll('#ledger tr:first-child > *')].slice(0, 8).map((c) => c.innerText)"
        )
        assert row == ["imu-node", "1\u202f000", "980", "3", "12", "1", "2", "2"]
        # No thermal zone and no Pi's firmware in the server's root: neither is shown, not as 0 either.
        assert "Temperature" not in shown and "Held back" not in shown

    see(tmp_path, story)


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        (State.DEGRADED, "gap", "samples are missing in the model's window and were filled in"),
        (State.STALE, "silent", "nothing comes any more"),
        (State.INVALID, "sensor-off", "a whole sensor does not change or is silent"),
    ],
)
def test_a_change_of_state_is_shown_with_its_reason(
    tmp_path: Path, state: State, reason: str, words: str
) -> None:
    async def story(page: Page, one: Served) -> None:
        one.walk()
        await page.go(one.url)
        await page.until(WORD, lambda text: text == "ok")
        assert await page.text("#reasons") == "nothing is missing for long, saturated or late"
        one.walk(state, (reason,))
        await page.until(WORD, lambda text: text == state.value)
        assert await page.text("#reasons") == f"{reason} {words}"
        assert await page.ask("document.getElementById('state').dataset.state") == state.value
        assert await page.ask("document.title") == f"{state.value}: edgetool"
        value = "document.getElementById('value-0').innerText"
        # What may not be used has no number on the page.
        await page.until(value, lambda text: (text == "–") == (state is not State.DEGRADED))
        one.walk()
        await page.until(WORD, lambda text: text == "ok")
        await page.until(value, lambda text: text != "–")

    see(tmp_path, story)


def test_no_word_from_the_daemon_is_never_shown_as_fine(tmp_path: Path) -> None:
    async def story(page: Page, one: Served) -> None:
        one.walk()
        await page.go(one.url)
        await page.until(WORD, lambda text: text == "ok")
        one.halt()
        one.wait(one.server.stop())
        await page.until("document.body.dataset.link", lambda link: link == "lost")
        assert await page.text("#link") == "daemon lost"
        assert "Daemon lost: nothing heard for" in await page.text("#lost")
        assert await page.ask(WORD) == "not known"
        assert await page.ask("document.getElementById('value-0').innerText") == "–"
        assert await page.ask("document.title") == "lost: edgetool"
        page.errors.clear()  # the browser's own words about a connection that is refused

    see(tmp_path, story)


def test_a_figure_does_not_outlive_its_moment(tmp_path: Path) -> None:
    async def story(page: Page, one: Served) -> None:
        one.walk()
        await page.go(one.url)
        value = "document.getElementById('value-0')?.innerText"
        await page.until(value, lambda text: text not in (None, "–"))
        # A fault that the daemon should never have: it lives, says that all is well, and publishes nothing.
        one.halt()
        await page.until(value, lambda text: text == "–")
        assert await page.ask("document.body.dataset.link") == "live"

    see(tmp_path, story)


def test_a_daemon_that_hangs_is_lost_too(tmp_path: Path) -> None:
    async def story(page: Page, one: Served) -> None:
        one.walk()
        await page.go(one.url)
        await page.until(LIVE)
        one.server.feed._task.cancel()  # type: ignore[union-attr]
        await page.until("document.body.dataset.link", lambda link: link == "lost")

    see(tmp_path, story)


def test_the_page_comes_back_with_the_daemon(tmp_path: Path) -> None:
    async def story(page: Page, one: Served) -> None:
        one.walk()
        await page.go(one.url)
        await page.until(LIVE)
        one.wait(one.server.feed.stop())
        await page.until("document.body.dataset.link", lambda link: link == "lost")
        one.wait(one.server.feed.start())
        await page.until(LIVE)
        await page.until(WORD, lambda text: text == "ok")

    see(tmp_path, story)


def test_streams_that_change_get_new_boxes(tmp_path: Path) -> None:
    async def story(page: Page, one: Served) -> None:
        one.walk()
        await page.go(one.url)
        await page.until("document.querySelectorAll('.stream').length", lambda count: count == 2)
        one.do(
            lambda daemon: setattr(daemon, "shown", replace(daemon.shown, streams=daemon.shown.streams[:1]))
        )
        await page.until("document.querySelectorAll('.stream').length", lambda count: count == 1)
        assert await page.text(".stream h3") == "imu imu-node"

    see(tmp_path, story)


def test_names_are_text_and_never_code(tmp_path: Path) -> None:
    async def story(page: Page, one: Served) -> None:
        name = "<img src=x onerror=document.title='broken'><b>bold</b>"
        link = replace(one.daemon.shown.links[0], name=name)
        shown = replace(one.daemon.shown, labels={"place": name}, links=(link,))
        one.do(lambda daemon: setattr(daemon, "shown", shown))
        one.walk()
        await page.go(one.url)
        await page.until("document.getElementById('labels').innerText", lambda text: text == name)
        assert await page.text("#links .name") == name
        assert await page.ask("document.querySelectorAll('main b b, main img').length") == 0

    see(tmp_path, story)


def test_no_width_scrolls_sideways(tmp_path: Path) -> None:
    beyond = (
        "[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)"
        # The heads of the ledger are there for screen readers only on a phone.
        ".filter((e) => !e.closest('thead')).map((e) => e.outerHTML.slice(0, 60))"
    )

    async def story(page: Page, one: Served) -> None:
        one.walk(State.DEGRADED, ("gap", "saturated", "clock-uncertain"))
        for width in (360, 390, 768, 1280, 1920):
            await page.size(width, 800)
            await page.go(one.url)
            await page.until(LIVE)
            await page.until("document.querySelectorAll('#ledger tr').length", lambda count: count == 2)
            await page.ask("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
            assert await page.ask("document.documentElement.scrollWidth") <= width
            assert await page.ask(beyond) == [], width

    see(tmp_path, story)


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)`` (WCAG 2.2)."""
    parts = np.array([float(part) / 255 for part in colour.split("(")[1].rstrip(")").split(",")[:3]])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_all_text_has_contrast_enough(tmp_path: Path) -> None:
    """WCAG 2.2 AA: 4.5 to 1, for all text of the page in all states."""
    script = """(() => {
      const ground = (e) => { for (; e; e = e.parentElement) {
        const c = getComputedStyle(e).backgroundColor; if (!/, 0\\)$/.test(c)) return c; } return "rgb(255, 255, 255)"; };
      return [...document.querySelectorAll("body *")]
        .filter((e) => e.offsetParent && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()))
        .map((e) => [e.innerText.slice(0, 30), getComputedStyle(e).color, ground(e)]);
    })()"""

    async def story(page: Page, one: Served) -> None:
        await page.go(one.url)
        for dark in (False, True):
            await page.size(1280, 900, dark)
            for state in State:
                one.walk(state, () if state is State.OK else ("gap",))
                await page.until(WORD, lambda text, state=state: text == state.value)  # type: ignore[misc]
                found = await page.ask(script)
                assert len(found) > 80
                for text, ink, ground in found:
                    light, low = sorted((luminance(ink), luminance(ground)), reverse=True)
                    assert (light + 0.05) / (low + 0.05) >= 4.5, (text, ink, ground)
            grounds = {luminance(ground) for _, _, ground in found}
            assert (max(grounds) < 0.2) == dark

    see(tmp_path, story)


def test_every_control_and_picture_has_a_name(tmp_path: Path) -> None:
    async def story(page: Page, one: Served) -> None:
        one.walk()
        await page.go(one.url)
        await page.until("document.querySelectorAll('canvas').length", lambda count: count >= 7)
        nameless = (
            "[...document.querySelectorAll('canvas, button, section')]"
            ".filter((e) => !e.getAttribute('aria-label') && !e.getAttribute('aria-labelledby')).length"
        )
        assert await page.ask(nameless) == 0
        assert await page.ask("document.documentElement.lang") == "en"
        for theme in ("light", "dark", "auto"):
            await page.ask("document.getElementById('theme').click()")
            assert await page.ask("document.documentElement.dataset.theme") == theme

    see(tmp_path, story)


def test_curves_are_drawn_and_what_may_not_be_used_is_not(tmp_path: Path) -> None:
    # How many pixels of a canvas are of a colour, and whether any are at its right half.
    script = """((id, hex) => {
      const c = document.getElementById(id), p = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
      const want = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
      let n = 0;
      for (let i = 0; i < p.length; i += 4) n += p[i + 3] > 200 && want.every((v, k) => Math.abs(p[i + k] - v) < 12);
      return n;
    })"""
    line, amber, vermilion = "#0b62a8", "#a85f00", "#c43d0c"

    async def story(page: Page, one: Served) -> None:
        one.walk()
        await page.go(one.url)
        await page.until("document.getElementById('joint-0') !== null")
        await page.until(f"{script}('joint-0', '{line}')", lambda count: count > 50)
        assert await page.ask(f"{script}('joint-0', '{amber}')") == 0
        assert await page.ask(f"{script}('ages', '{line}')") > 100
        one.walk(State.DEGRADED, ("gap",))
        await page.until(f"{script}('joint-0', '{amber}')", lambda count: count > 30)
        assert await page.ask(f"{script}('timeline', '{vermilion}')") == 0
        one.walk(State.INVALID, ("sensor-off",))
        await page.until(f"{script}('timeline', '{vermilion}')", lambda count: count > 10)
        # Ten seconds later all usable estimates have left the plot, and no line is on it.
        await page.until(
            f"{script}('joint-0', '{line}') + {script}('joint-0', '{amber}')", lambda count: count == 0
        )

    see(tmp_path, story)


def test_signing_in_with_the_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)

    async def story(page: Page, one: Served) -> None:
        one.walk()
        await page.go(one.url)
        await page.until("document.getElementById('token') !== null")
        await page.ask(
            f"document.getElementById('token').value = {TOKEN!r}; document.querySelector('form').submit()"
        )
        await page.until("document.body?.dataset.link === 'live'")
        assert TOKEN not in str(await page.ask("location.href + document.cookie"))
        # The browser's own lines about the page and the icon that it got no answer to before.
        page.errors[:] = [error for error in page.errors if "401 (Unauthorized)" not in error]

    see(tmp_path, story, ServerSettings(port=0, token_file=tmp_path / "token"))


def test_the_leg_shows_which_sensor_is_doubted_and_says_what_to_do(tmp_path: Path) -> None:
    async def story(page: Page, one: Served) -> None:
        one.walk()
        await page.go(one.url)
        await page.until("document.querySelectorAll('#leg .mark').length", lambda count: count == 13)
        marks = "Object.fromEntries([...document.querySelectorAll('#leg .mark')].map((e) => [e.textContent, e.classList[1]]))"
        shown = await page.ask(marks)
        assert shown.pop("Shank IMU: doubted") == "bad"
        assert (
            shown == {text: "good" for text in shown if text.endswith(": as calibrated")}
            and "Soleus: as calibrated" in shown
        )
        assert await page.ask("document.getElementById('leg').getAttribute('aria-label')") == (
            "The leg and its sensors. Doubted: Shank IMU."
        )
        findings = await page.text("#findings")
        assert findings.startswith(f"orientation\n{SLIPPED}") and "Foot, Thigh, Trunk" in findings
        # Put right, and walked again: nothing is doubted. Then begun anew: nothing is known.
        for judged, label in ((True, "All 13 are as calibrated."), (False, "None is judged yet.")):
            sensors = tuple(replace(sensor, doubts=()) for sensor in one.daemon.shown.sensors)
            one.do(
                lambda daemon, judged=judged, sensors=sensors: setattr(  # type: ignore[misc]
                    daemon, "shown", replace(daemon.shown, findings=(), sensors=sensors, judged=judged)
                )
            )
            await page.until(
                "document.getElementById('leg').getAttribute('aria-label')",
                lambda text, label=label: text.endswith(label),  # type: ignore[misc]
            )
        assert SLIPPED not in await page.text("#findings")

    see(tmp_path, story)


def test_a_calibration_is_guided_on_the_page(tmp_path: Path) -> None:
    async def story(page: Page, one: Served) -> None:
        one.walk()
        await page.go(one.url)
        await page.until("!document.getElementById('calibration').hidden")
        ask = "document.getElementById('calibration-ask').textContent"
        assert await page.ask(ask) == "Stand still for three seconds, then walk ten strides."
        await page.ask("document.getElementById('calibration-person').value = 'Ada'")
        await page.ask("document.getElementById('calibration-swing').click()")
        await page.ask("document.getElementById('calibration-go').click()")
        await page.until(ask, lambda text: text == "Stand still.")
        assert one.daemon.noted == [("Ada", 10, True, True, False)]
        assert await page.ask("document.getElementById('calibration-more').hidden")
        assert await page.ask("document.getElementById('calibration-share').value") == 0.5
        told = CalibrationStatus(
            True, "walk", 0.0, "no regular strides yet: walk straight ahead at a steady pace"
        )
        one.do(lambda daemon: setattr(daemon, "shown", replace(daemon.shown, calibration=told)))
        await page.until(ask, lambda text: text.startswith("Now walk straight ahead"))
        assert (await page.ask(ask)).endswith("no regular strides yet: walk straight ahead at a steady pace")
        assert await page.text("#calibration-go") == "Give up"
        await page.ask("document.getElementById('calibration-go').click()")
        await page.until(ask, lambda text: text == "given up")
        assert await page.text("#calibration-go") == "Calibrate again"
        one.do(lambda daemon: setattr(daemon, "shown", replace(daemon.shown, calibration=None)))
        await page.until("document.getElementById('calibration').hidden")

    see(tmp_path, story)


def test_moments_are_in_newton_metres_too_where_the_body_mass_is_known(tmp_path: Path) -> None:
    async def story(page: Page, one: Served) -> None:
        one.do(lambda daemon: setattr(daemon, "shown", replace(daemon.shown, mass_kg=80.0)))
        one.walk(values=(0.316, -0.104, 1.2))
        await page.go(one.url)
        await page.until("document.getElementById('nm-0')?.textContent", lambda text: text == " · 25.3 Nm")
        assert await page.ask("document.getElementById('nm-1').textContent") == " · \u22128.3 Nm"

    see(tmp_path, story)
