"""Hostile text: what a name in a file, a descriptor or a config may hold to break out of where it is written.

``hostile_strings(count, seed)`` draws names; ``hostile_text()`` is the same as a Hypothesis strategy. Each test puts them
through a field and looks at an output with the check for its destination. ``few_or_all(few, seed)`` is a draw that grows to
EDGETOOL_HOSTILE strings where that is set: ``python -m tests.fuzz.fuzz_text`` sets it and runs all of these tests.
"""

from __future__ import annotations

import json
import os
import random
import re
import unicodedata

from hypothesis import strategies

#: What breaks out of one destination or another, each by itself. MARK is what an attack that worked would leave behind.
MARK = "OWNED"
PIECES: tuple[str, ...] = (
    # lines: logs, units, headers, CSV
    "\n", "\r", "\r\n", "\n\n", "\v", "\f", "\x85", "\u2028", "\u2029", "\\\n",
    f"\n[Service]\nExecStart=/bin/touch {MARK}\n",
    # C and Make
    "*/", "/*", "//", '"', "'", "\\", "??/", "??/\n", "%n%s", "#include", f"\n#define {MARK} 1\n",
    f"*/ __attribute__((constructor)) void {MARK}(void) {{}} /*",
    f'"); system("touch {MARK}"); ("',
    f"$(shell touch {MARK})", "$$", "${HOME}", "$(HOME)", f"${{{MARK}}}", "%i%h%t", "%%",
    # shells
    f"`touch {MARK}`", f"$(touch {MARK})", f"; touch {MARK};", f"| touch {MARK}", "&&", "~", "*", "-rf", "--out",
    # HTML, JavaScript, templates
    f"<script>{MARK}</script>", f"</script><img src=x onerror={MARK}>", "<!--", "]]>", "&lt;", "&#x3c;",
    f"javascript:{MARK}", f'" onload="{MARK}', "{{7*7}}", "{% raw %}", "</title>", "\u003c",
    # terminals
    f"\x1b]0;{MARK}\x07", "\x1b[2J", "\x1b[31m", "\x9b31m", "\x1bP", "\x08" * 8, "\x07", "\x7f", "\x00", "\x1a",
    "[bold]", "[/]",
    # direction and width
    "\u202e", "\u202d", "\u2066", "\u2069", "\u200f", "\u061c", "\u200b", "\ufeff", "\u00ad", "e\u0301" * 4, "\ufdfd",
    # not text
    "\ud800", "\udcff", "\udfff", "\ufffe", "\U0010ffff", "\ue000",
    # spreadsheets, numbers, paths, URLs
    f'=HYPERLINK("http://{MARK}")', "=1+1", "+1", "-1", "@SUM(1)", "\t=1", "1e999", "NaN", "\u00b2", "\u0663", ",", ";", "\t",
    "../../etc/passwd", "/dev/zero", "C:\\", "CON", "?a=b&c=d", "%2e%2e%2f", "%00", "#", "://", "user:pass@host",
    " ", "  x  ", "a" * 300, "", ".", "..", "__proto__", "import os", "lambda: 0", "é", "ß", "Ⅻ", "ﬁ", "🦿",
)  # fmt: skip

#: Characters of which names may be drawn beside the pieces.
_LETTERS = "abcxyzABCXYZ0129_- ."


def hostile_strings(count: int, seed: int) -> list[str]:
    """``count`` names: every piece by itself first, then one to four of them with letters between, in a seeded order."""
    draw = random.Random(seed)
    found = [piece for piece in PIECES if piece][:count]
    while len(found) < count:
        parts = []
        for _ in range(draw.randint(1, 4)):
            parts.append("".join(draw.choices(_LETTERS, k=draw.randint(0, 5))))
            parts.append(draw.choice(PIECES))
        found.append("".join(parts))
    return found


def few_or_all(few: int, seed: int) -> list[str]:
    """``few`` strings for the suite, the pieces among them taken evenly; EDGETOOL_HOSTILE of them where that is set."""
    count = max(few, int(os.environ.get("EDGETOOL_HOSTILE", "0")))
    step = max(1, 200 // count)
    return hostile_strings(count * step, seed)[::step]


def hostile_text() -> strategies.SearchStrategy[str]:
    """Pieces and any characters at all, lone surrogates among them."""
    pieces = strategies.lists(strategies.sampled_from(PIECES), min_size=1, max_size=4).map("".join)
    return pieces | strategies.text(strategies.characters(), max_size=40)


def encodable(text: str) -> str:
    """``text`` as a file in UTF-8 can hold it: lone surrogates replaced."""
    return text.encode("utf-8", "replace").decode()


#: ESC sequences, for what a terminal was meant to do (colours of ours) before the rest is judged.
_STYLES = re.compile(r"\x1b\[[0-9;]*m")


def unsafe_on_a_terminal(output: str, *, styled: bool = False) -> str:
    """What in ``output`` may steer a terminal or cannot be encoded, as text; empty if nothing. Newlines are ours."""
    text = _STYLES.sub("", output) if styled else output
    bad = {
        c
        for c in text
        if c != "\n" and (unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") or not c.isprintable())
    }
    return "".join(sorted(bad)).encode("unicode_escape").decode()


def strict_json(text: str) -> object:
    """``text`` as JSON by the letter of RFC 8259: NaN and Infinity are refused, lone surrogates too."""

    def refuse(word: str) -> object:
        raise ValueError(f"{word} is not JSON")

    value: object = json.loads(text, parse_constant=refuse)
    text.encode("utf-8")
    return value
