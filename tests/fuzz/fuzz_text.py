"""Hostile text through every field of every file, and every output looked at: the tests of that, with a thousand strings each.

    python -m tests.fuzz.fuzz_text [--strings 1000] [-k EXPRESSION]

Fields: of a checkpoint, contract, dataset, .tflite, manifest, descriptor, configuration, and of what a daemon shows. Outputs: C
compiled and its symbols compared, units as systemd reads them, pages as parsers and a browser read them, terminals, logs,
metrics, JSON, CSV, TOML. The suite runs the same tests with fewer strings.
"""

from __future__ import annotations

import argparse
import os
import sys

import pytest

#: Where a field or an output has its test; what of it draws strings.
TESTS = (
    "tests/edgetool/test_hostile_text.py",
    "tests/quantization/c_emitter/test_hostile_names.py",
    "tests/regression/test_a_newline_in_token_file.py",
    "tests/regression/test_names_in_html.py",
    "tests/regression/test_a_name_that_forged_a_line_of_the_log.py",
    "tests/runtime/server/test_hostile_page.py",
    "tests/runtime/server/test_notes.py",
    "tests/toolkit/test_terminal.py",
    "tests/toolkit/test_printable.py",
)


def main() -> int:
    """Run them; pytest's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strings", type=int, default=1000)
    parser.add_argument("-k", default="", help="only these tests, as pytest's -k")
    given = parser.parse_args()
    os.environ["EDGETOOL_HOSTILE"] = str(given.strings)
    return int(pytest.main(["-p", "no:xdist", "-q", "--durations=15", "-k", given.k, *TESTS]))


if __name__ == "__main__":
    sys.exit(main())
