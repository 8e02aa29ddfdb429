"""The table and the plot of what gaps cost; :mod:`benchmarks.studies.gap_cost` measures it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from benchmarks.report.svg import Panel
from benchmarks.studies.gap_cost_result import GapCost

_WIDTH, _HEIGHT, _TOP = 340, 220, 44
_COLOURS = {"hold": "#1f6feb", "interpolate": "#2da44e", "invalidate": "#bf5700"}
_WORDS = {"random": "single frames", "bursts": "outages of 100 ms"}
_STYLE = """<style>
text{font:11px system-ui,sans-serif;fill:#24292f}.middle{text-anchor:middle}.end{text-anchor:end}
.head{font-weight:600;font-size:12px}.grid{stroke:#d0d7de;stroke-width:.6}.zero{stroke:#8c959f}
.line{fill:none;stroke-width:1.8}.dot{stroke:none}.back{fill:#ffffff}
%s</style>"""


def table(costs: Sequence[GapCost]) -> str:
    """80 columns: RMSE against the run without loss by engine, in mNm/kg, and what else there is to know."""
    engines = list(costs[0].cost)
    lines = [
        "RMSE against the same engine without loss, mNm/kg; increase of its RMSE against",
        "the reference; share of moments with a gap in the window (marked) and of those",
        "that the daemon calls degraded; 99th percentile of the wait for a row.",
        "invalidate gives out no marked moments: its figures are of the others.",
        f"{'loss':<14}{'policy':<12}"
        + "".join(f"{_short(e):>9}{'':>8}" for e in engines)
        + f"{'marked':>7}{'degr.':>7}{'wait':>6}",
    ]
    for cost in costs:
        line = f"{cost.pattern:<7}{cost.loss:>6.1%} {cost.policy:<12}"
        for engine in engines:
            rmse = cost.cost[engine]
            line += (
                f"{'none':>17}"
                if rmse is None
                else f"{1e3 * rmse:>9.2f}{_percent(_increase(cost, engine)):>7} "
            )
        lines.append(f"{line}{cost.marked:>7.1%}{cost.degraded:>7.1%}{cost.wait_ms:>4.0f}ms")
    clean = ", ".join(f"{_short(e)} {1e3 * (costs[0].error_without_loss[e] or 0):.1f}" for e in engines)
    lines.append(f"RMSE against the reference without loss, mNm/kg: {clean}")
    return "\n".join(lines)


def plot(data: Sequence[tuple[str, Sequence[GapCost]]]) -> str:
    """One SVG: a row a data set, a panel a pattern; RMSE that the gaps cost over the share lost, by policy, first engine."""
    rows = [_row(title, costs) for title, costs in data]
    width, height = 2 * _WIDTH + 20, len(rows) * (_HEIGHT + _TOP) + 24
    body = []
    for place, panels in enumerate(rows):
        for column, (head, panel) in enumerate(panels):
            x, y = column * (_WIDTH + 20), place * (_HEIGHT + _TOP)
            inner = str(panel).replace(
                "<svg ", f'<svg x="{x}" y="{y + 22}" width="{_WIDTH}" height="{_HEIGHT}" ', 1
            )
            body.append(f'<text class="head" x="{x + 8}" y="{y + 15}">{escape(head)}</text>{inner}')
    words = {
        "hold": "hold",
        "interpolate": "interpolate",
        "invalidate": "invalidate (moments it still gives)",
    }
    for at, (policy, colour) in zip((8, 80, 180), _COLOURS.items()):
        body.append(f'<rect x="{at}" y="{height - 15}" width="14" height="3" fill="{colour}"/>')
        body.append(f'<text x="{at + 20}" y="{height - 10}">{words[policy]}</text>')
    colours = "".join(f".line.{p}{{stroke:{c}}}.dot.{p}{{fill:{c}}}" for p, c in _COLOURS.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'{_STYLE % colours}<rect class="back" width="{width}" height="{height}"/>{"".join(body)}</svg>\n'
    )


def _row(title: str, costs: Sequence[GapCost]) -> list[tuple[str, Panel]]:
    engine = next(iter(costs[0].cost))
    losses = sorted({cost.loss for cost in costs})
    panels = []
    for pattern, words in _WORDS.items():
        highest = 1e3 * max(cost.cost[engine] or 0.0 for cost in costs if cost.pattern == pattern)
        panel = Panel(
            _WIDTH,
            _HEIGHT,
            (100 * losses[0], 100 * losses[-1]),
            (0.0, 1.08 * highest or 1.0),
            describe=f"{title}: RMSE that lost {words} cost, by gap policy",
            margins=(8, 14, 34, 52),
            log_x=True,
        )
        panel.axes("frames lost, %", "RMSE, mNm/kg")
        for policy in _COLOURS:
            mine = [c for c in costs if c.pattern == pattern and c.policy == policy]
            points = [(100 * c.loss, 1e3 * rmse) for c in mine if (rmse := c.cost[engine]) is not None]
            if points:
                panel.line(np.array([x for x, _ in points]), np.array([y for _, y in points]), policy)
            for x, y in points:
                panel.dot(x, y, policy, f"{policy}, {x:g} %: {y:.2f} mNm/kg", 3)
        panels.append((f"{title}: {words}", panel))
    return panels


def _increase(cost: GapCost, engine: str) -> float:
    error, without = cost.error[engine], cost.error_without_loss[engine]
    return error / without - 1 if error is not None and without else 0.0


def _percent(share: float) -> str:
    return f"{share:+.1%}" if share < 10 else f"{share:+.0%}"


def _short(engine: str) -> str:
    return "float" if "float" in engine else "int8"
