"""The ledger as a table of at most 80 columns; shared by the commands that show one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.terminal import say

_TERMS = ("sent", "delivered", "crc_failed", "gap", "duplicate", "reordered", "dropped_in_host")
_HEADS = ("sent", "delivered", "crc", "gap", "dup", "reord", "dropped")


def show_ledger(ledger: Mapping[str, Mapping[str, Any]]) -> None:
    """Print one row a node, and one a link for what belongs to no node if there is any."""
    say(f"{'link/node':<10}" + "".join(f"{head:>10}" for head in _HEADS))
    for name, terms in ledger.items():
        if "sent" in terms:
            say(f"{name:<10}" + "".join(f"{terms[term]:>10}" for term in _TERMS))
    for name, terms in ledger.items():
        if terms.get("noise") or terms.get("rejected"):
            reasons = ", ".join(f"{count} {reason}" for reason, count in terms["rejected"].items())
            say(f"link {name}: {terms['noise']} damaged blocks were noise; not used: {reasons or 'none'}")
