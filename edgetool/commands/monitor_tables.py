"""What ``edgetool monitor`` shows, at most 80 columns wide and as high as the screen: whole tables, else a row a node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edgetool.commands.sensor_lines import sensor_lines
from toolkit.printable import terminal_text

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

_TERMS = ("sent", "delivered", "crc_failed", "gap", "duplicate", "reordered", "dropped_in_host")
#: Those that mean lost frames.
_LOSSES = ("crc_failed", "gap", "dropped_in_host")
#: Lines about the tables: two heads, two titles, an empty line between.
_AROUND = 6
_LOW_BATTERY = 15


def tables(state: dict[str, Any], height: int | None = None) -> Group:
    """The state of :meth:`Health.to_json` in at most ``height`` lines (None: as many as it takes)."""
    from rich.console import Group

    nodes = [name for name, terms in state["ledger"].items() if "sent" in terms]
    notes = [_escaped(note) for note in _notes(state)]
    if not nodes:
        return Group("No intact frame has been received yet.", *notes)
    lines = len(state["streams"]) + len(nodes) + len(notes) + _AROUND
    if height is None or lines < height:
        streams = _streams(state) if state["streams"] else "No samples yet."
        return Group(streams, "", _ledger(state, nodes), *notes)
    # A row a node; those that lose most first, and as many as there is room for.
    nodes.sort(key=lambda name: -_lost(state["ledger"][name]))
    room = max(1, height - len(notes) - 4)
    more = [f"... and {len(nodes) - room} more nodes that lost less"] if len(nodes) > room else []
    return Group(_compact(state, nodes[:room]), *more, *notes)


def _table(title: str, *heads: str) -> Table:
    """Numbers to the right, names to the left and cut if they are too long; no lines, so that 80 columns hold 7 digits."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
    for head in heads:
        named = head in ("node", "stream")
        table.add_column(
            head,
            justify="left" if named else "right",
            no_wrap=True,
            overflow="ellipsis",
            max_width=16 if named else None,
        )
    return table


def _streams(state: dict[str, Any]) -> Table:
    table = _table("Streams", "node", "stream", "ch", "Hz", "measured", "samples", "rows", "in gaps")
    for each in state["streams"]:
        measured = "" if each["measured_hz"] is None else f"{each['measured_hz']:.1f}"
        names = _escaped(each["node"]), _escaped(each["stream"])
        row = (*names, each["channels"], f"{each['nominal_hz']:g}", measured)
        gaps = _loss(each["rows_in_gaps"], each["rows"])
        table.add_row(*map(str, row), str(each["samples"]), str(each["rows"]), gaps)
    return table


def _ledger(state: dict[str, Any], nodes: list[str]) -> Table:
    heads = ("node", "sent", "deliv.", "crc", "gap", "dup", "reord", "drop", "clock, ms", "ppm")
    table = _table("Ledger, in frames", *heads)
    for name in nodes:
        terms = state["ledger"][name]
        cells = [
            _marked(str(terms[term]), "yellow" if term in _LOSSES and terms[term] else "") for term in _TERMS
        ]
        table.add_row(_escaped(_name(state, name)), *cells, *_clock(state, name))
    return table


def _compact(state: dict[str, Any], nodes: list[str]) -> Table:
    heads = ("node", "streams", "samples", "in gaps", "sent", "lost", "clock, ms", "ppm")
    table = _table("Nodes (a taller window shows all)", *heads)
    for name in nodes:
        label = _name(state, name)
        own = [each for each in state["streams"] if each["node"] == label]
        samples, rows = sum(each["samples"] for each in own), sum(each["rows"] for each in own)
        terms = state["ledger"][name]
        table.add_row(
            _escaped(label),
            str(len(own)),
            str(samples),
            _loss(sum(each["rows_in_gaps"] for each in own), rows),
            str(terms["sent"]),
            _loss(_lost(terms), terms["sent"]),
            *_clock(state, name),
        )
    return table


def _notes(state: dict[str, Any]) -> Iterator[str]:
    """What needs saying and is no number of a table."""
    if "sensors" in state:
        yield from sensor_lines(state["sensors"])
    if any(not each["synced"] for each in state["nodes"].values()):
        yield "? assumed: no sync reply yet; the fastest frame is taken to need at most 30 ms"
    for each in state["nodes"].values():
        if each["samples_dropped"]:
            yield f"{each['name']}: the node itself dropped {each['samples_dropped']} samples"
        if each["battery_percent"] is not None and each["battery_percent"] <= _LOW_BATTERY:
            yield f"{each['name']}: battery {each['battery_percent']} %"
    if state["undescribed_packets"]:
        yield f"{state['undescribed_packets']} packets of streams that no descriptor has named yet"
    for link, text in state["links"].items():
        yield f"link {link} {text}"


def _name(state: dict[str, Any], key: str) -> str:
    node = state["nodes"].get(key)
    return str(node["name"]) if node else key


def _clock(state: dict[str, Any], key: str) -> tuple[str, str]:
    node = state["nodes"].get(key)
    if node is None or node["error_ms"] is None:
        return "", ""
    return f"±{node['error_ms']:.2f}{'' if node['synced'] else '?'}", f"{node['skew_ppm']:.0f}"


def _lost(terms: dict[str, int]) -> int:
    return sum(terms[term] for term in _LOSSES)


def _loss(part: int, whole: int) -> str:
    """A share of loss, with what it is made of if it is not zero."""
    return _marked(f"{part} ({part / whole:.1%})", "yellow") if part else "0"


def _escaped(text: str) -> str:
    """What a node calls itself, or an error says, on one line; brackets in it are no markup."""
    from rich.markup import escape

    return escape(terminal_text(text))


def _marked(text: str, style: str) -> str:
    return f"[{style}]{text}[/]" if style else text
