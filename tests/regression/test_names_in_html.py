"""The joint's name stood unescaped in the bench report's table of R2: a name from a data set was markup of the page.

Both pages are now made by templates that escape everything. Hostile text in every field gives a page with the elements and
attributes of the innocent one, as a browser's parser reads it, and with the text in it.
"""

from __future__ import annotations

import dataclasses
import io
from collections import Counter
from collections.abc import Mapping
from typing import Any

import html5lib
import pytest

from benchmarks.records import Broken, Budgets, Measured, Report
from benchmarks.report.console import show
from benchmarks.report.html import page as bench_page
from quantization.analysis.error_records import Attribution, Loss, OutputError, TensorErrors
from quantization.analysis.error_report import page as errors_page
from tests.benchmarks.report.small_report import small_report
from tests.hostile import few_or_all
from toolkit.contract import Channel
from toolkit.terminal import console

HOSTILE = (
    '"><script>alert(1)</script>',
    "</style></title></pre><img src=x onerror=alert(1)>",
    "'--><svg onload=alert(1)>",
    "{{ 7*7 }}{% raw %}${x}$\\frac",
    "\x1b[31m\u202eevil\ud800\0\r\n</td>",
)


def structure(page: str) -> Counter[tuple[str, tuple[str, ...]]]:
    """How often each element with its attributes' names is on a page."""
    tree = html5lib.parse(page, namespaceHTMLElements=False)
    return Counter((str(one.tag), tuple(sorted(map(str, one.attrib)))) for one in tree.iter())


def spoilt(value: Any, text: str) -> Any:
    """``value`` with ``text`` at the end of every string in it."""
    if isinstance(value, str):
        return value + text
    if isinstance(value, Mapping):
        return {name: spoilt(one, text) for name, one in value.items()}
    if isinstance(value, tuple):
        return tuple(spoilt(one, text) for one in value)
    return value


def spoilt_fields(record: Any, text: str, *names: str) -> Any:
    """A record whose named fields have ``text`` in them."""
    return dataclasses.replace(record, **{name: spoilt(getattr(record, name), text) for name in names})


def hostile_report(text: str) -> Report:
    """Every name of a report that comes from a file, a command line, another computer or a tool."""
    report = small_report(max_rmse_increase=10)
    data = report.data
    recordings = tuple(spoilt_fields(one, text, "task", "person", "name") for one in data.windows.recordings)
    # A contract takes only printable names of bounded length without spaces at their ends.
    suffix = text[:100].strip() if text.isprintable() else "</td>"
    outputs = tuple(Channel(one.name + suffix, "Nm/kg") for one in data.contract.outputs)
    data = dataclasses.replace(
        data,
        contract=dataclasses.replace(data.contract, outputs=outputs),
        windows=dataclasses.replace(data.windows, recordings=recordings),
        source=data.source + text,
    )
    rename = dict(zip(report.data.joints, (channel.name for channel in outputs)))

    def measured(one: Measured) -> Measured:
        one = spoilt_fields(one, text, "version", "how", "scheme", "target", "converter")
        return dataclasses.replace(one, latency=spoilt_fields(one.latency, text, "processor", "label"))

    def run(one: Any) -> Any:
        accuracy = one.accuracy
        per_task = {task + text: scores for task, scores in accuracy.per_task.items()}
        per_joint = {rename[joint]: scores for joint, scores in accuracy.per_joint.items()}
        both = {
            task + text: {rename[joint]: scores for joint, scores in row.items()}
            for task, row in accuracy.per_task_joint.items()
        }
        accuracy = dataclasses.replace(accuracy, per_task=per_task, per_joint=per_joint, per_task_joint=both)
        return dataclasses.replace(
            one,
            measured=measured(one.measured),
            accuracy=accuracy,
            compared_with=one.compared_with + text,
        )

    graphs = [{"file": "models/x" + text, "sha256": "0" * 20 + text}]
    return dataclasses.replace(
        report,
        data=data,
        runs=tuple(run(one) for one in report.runs),
        bundle={**spoilt(report.bundle, text), "graphs": graphs, "signer": "key" + text},
        machine=spoilt(report.machine, text),
        skipped=tuple(spoilt_fields(o, text, "engine", "graph", "scheme", "reason") for o in report.skipped),
        budgets=Budgets(10, None, tuple(Broken("x" + text, "y" + text, 1, 0) for _ in report.budgets.broken)),
        targets=spoilt(report.targets, text),
        command=report.command + text,
    )


def attribution(*texts: str) -> Attribution:
    """A small one, with all ``texts`` in every string that it has one of, and each in one of what it has several of."""
    text = "".join(texts)
    return Attribution(
        graph="window",
        windows=3,
        part="test" + text,
        data="synthetic" + text,
        outputs=tuple(OutputError("reference" + one, 0.1, 1.0, 2.0) for one in texts),
        losses=tuple(
            Loss("weights" + one, "weights", "LSTM" + one, 8, 0.1, 0.2, None, None) for one in texts
        ),
        tensors=tuple(
            TensorErrors(f"a{one}", f"LSTM{one}", f"int8{one}", 1.0, {"reference": 0.5}, {}) for one in texts
        ),
        notes=tuple("note" + one for one in texts),
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_no_name_is_markup_of_the_bench_report(text: str) -> None:
    page = bench_page(hostile_report(text))
    assert structure(page) == structure(bench_page(hostile_report(" innocent")))
    page.encode()  # a lone surrogate could not be written
    shown = html5lib.parse(page, namespaceHTMLElements=False)
    words = "".join(shown.itertext())
    assert words.count(text.encode("unicode_escape").decode() if not text.isprintable() else text) > 20


def test_no_drawn_name_is_markup_of_a_page() -> None:
    drawn, innocent = few_or_all(10, 33), structure(bench_page(hostile_report(" innocent")))
    for text in drawn:
        page = bench_page(hostile_report(text))
        page.encode()
        assert structure(page) == innocent, text
    # Its plots take most of the time, so ten share a page.
    innocent = structure(errors_page(attribution(*[f" {place}" for place in range(10)])))
    for place in range(0, len(drawn), 10):
        texts = drawn[place : place + 10]
        page = errors_page(attribution(*texts))
        page.encode()
        assert structure(page) == innocent, texts


@pytest.mark.parametrize("text", HOSTILE)
def test_no_name_steers_the_terminal(text: str) -> None:
    shown = io.StringIO()
    show(hostile_report(text), console(file=shown))
    lines = shown.getvalue().split("\n")
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("text", HOSTILE)
def test_no_name_is_markup_of_the_attribution_page(text: str) -> None:
    page = errors_page(attribution(text))
    assert structure(page) == structure(errors_page(attribution(" innocent")))
    page.encode()


def test_a_character_that_no_font_has_is_drawn_as_a_box_without_a_warning() -> None:
    """matplotlib warned of each on the user's terminal; here every warning is an error."""
    assert "<img" in errors_page(attribution("\ufdfd \U0001f9bf"))
