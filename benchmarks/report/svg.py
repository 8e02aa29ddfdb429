"""Small plots as SVG text. Colours and fonts come from the page's style sheet, so that they follow its theme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from toolkit.html_text import html_text

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """Maps data from low..high to pixels from start..stop, by value or by its logarithm."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, v = (
            (math.log10(self.low), math.log10(self.high), math.log10(value))
            if self.log
            else (self.low, self.high, value)
        )
        return self.start + (v - low) / (high - low) * (self.stop - self.start)

    def ticks(self, number: int = 5) -> list[float]:
        """Round values inside the scale; 1, 2 and 5 times powers of ten on a logarithmic one."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            steps = (1, 2, 5) if last - first <= 3 else (1,)
            every = [m * 10.0**p for p in range(first, last + 1) for m in steps]
        else:
            step = nice_step((self.high - self.low) / number)
            first = math.ceil(self.low / step - 1e-9)
            every = [(first + i) * step for i in range(int((self.high - self.low) / step) + 2)]
        slack = 1e-9 * (abs(self.low) + abs(self.high))
        return [v for v in every if self.low - slack <= v <= self.high + slack]


def nice_step(rough: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))


def label(value: float) -> str:
    """A tick's text: no more digits than it needs, a true minus, thousands with commas."""
    text = f"{value:,.6g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return text.replace("-", "\N{MINUS SIGN}") if value else "0"


class Panel:
    """One plot: axes, then marks in data coordinates. ``str(panel)`` is the SVG element; a template takes the panel itself."""

    def __init__(
        self,
        width: int,
        height: int,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        describe: str,
        margins: tuple[int, int, int, int] = (8, 10, 34, 44),
        log_x: bool = False,
        kind: str = "",
    ) -> None:
        top, right, bottom, left = margins
        self.width, self.height = width, height
        self.x = Scale(*x, left, width - right, log_x)
        self.y = Scale(*y, height - bottom, top)
        self._kind, self._describe = kind, describe
        self._parts: list[Markup] = []

    def axes(self, x_title: str, y_title: str = "", *, y_ticks: bool = True, x_ticks: int = 5) -> None:
        """Grid lines with their values, and titles."""
        for value in self.x.ticks(x_ticks):
            at = self.x(value)
            self._line(at, self.y.start, at, self.y.stop, "grid")
            self.text(at, self.y.start + 14, label(value), "tick middle")
        for value in self.y.ticks() if y_ticks else []:
            at = self.y(value)
            self._line(self.x.start, at, self.x.stop, at, "zero" if abs(value) < 1e-12 else "grid")
            self.text(self.x.start - 6, at + 3.5, label(value), "tick end")
        self.text((self.x.start + self.x.stop) / 2, self.height - 4, x_title, "title middle")
        if y_title:
            middle = (self.y.start + self.y.stop) / 2
            self._add(
                '<text class="title middle" transform="translate(11 {:.1f}) rotate(-90)">{}</text>',
                middle,
                html_text(y_title),
            )

    def line(self, xs: Values, ys: Values, css: str) -> None:
        """A polyline."""
        self._add('<path class="line {}" d="M{}"/>', css, self._points(xs, ys))

    def band(self, xs: Values, low: Values, high: Values, css: str) -> None:
        """The area between two curves."""
        back = self._points(xs[::-1], low[::-1])
        self._add('<path class="band {}" d="M{}L{}Z"/>', css, self._points(xs, high), back)

    def bars(self, edges: Values, heights: Values, css: str) -> None:
        """A histogram; empty bins are left out."""
        base = self.y(0.0)
        for left, right, value in zip(edges[:-1], edges[1:], heights):
            if value > 0:
                a, b, top = self.x(left), self.x(right), self.y(value)
                self._add(
                    '<rect class="bar {}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>',
                    *(css, a, top, b - a, base - top),
                )

    def cell(self, x: tuple[float, float], y: tuple[float, float], css: str, opacity: float) -> None:
        """A filled rectangle between data coordinates, of a heat map."""
        left, right = sorted(map(self.x, x))
        top, bottom = sorted(map(self.y, y))
        self._add(
            '<rect class="bar {}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}" opacity="{:.2f}"/>',
            *(css, left, top, right - left, bottom - top, opacity),
        )

    def rule(
        self, value: float, css: str, text: str = "", *, height: float = 0.0, anchor: str = "start"
    ) -> None:
        """A vertical line at ``value`` with a text beside its upper end, ``height`` pixels down."""
        at = self.x(value)
        self._line(at, self.y.start, at, self.y.stop + height, css)
        if text:
            shift = {"start": 4, "end": -4, "middle": 0}[anchor]
            self.text(at + shift, self.y.stop + height + 9, text, f"note {anchor}")

    def dot(self, x: float, y: float, css: str, tip: str, radius: float = 3.5) -> None:
        """A point with a text that appears when the pointer rests on it."""
        self._add(
            '<circle class="dot {}" cx="{:.2f}" cy="{:.2f}" r="{}"><title>{}</title></circle>',
            *(css, self.x(x), self.y(y), radius, html_text(tip)),
        )

    def whisker(self, low: float, high: float, y: float, css: str) -> None:
        """A horizontal interval."""
        self._line(self.x(low), self.y(y), self.x(high), self.y(y), f"whisker {css}")

    def text(self, x: float, y: float, text: str, css: str) -> None:
        """Text at a place in pixels."""
        self._add('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>', css, x, y, html_text(text))

    def _line(self, x1: float, y1: float, x2: float, y2: float, css: str) -> None:
        self._add('<line class="{}" x1="{:.2f}" y1="{:.2f}" x2="{:.2f}" y2="{:.2f}"/>', css, x1, y1, x2, y2)

    def _add(self, element: str, *values: object) -> None:
        """One element; ``values`` fill its braces and are escaped."""
        self._parts.append(Markup(element).format(*values))

    def _points(self, xs: Sequence[float] | Values, ys: Sequence[float] | Values) -> str:
        return "L".join(f"{self.x(float(a)):.1f} {self.y(float(b)):.1f}" for a, b in zip(xs, ys))

    def __html__(self) -> Markup:
        return Markup('<svg class="plot {}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
            self._kind, self.width, self.height, html_text(self._describe), Markup("").join(self._parts)
        )

    def __str__(self) -> str:
        return str(self.__html__())
