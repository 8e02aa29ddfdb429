"""The one way into HTML: templates that escape whatever they are given, and single texts that are escaped.

Names in a page come from files: joints, tasks, tensors, bundles. A template's placeholders are escaped by Jinja2, always;
what is not printable is shown as its escape. Only :class:`markupsafe.Markup` passes as it is, and that is made by
``Markup(...).format(...)``, which escapes its arguments.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from toolkit.errors import MissingDependencyError
from toolkit.printable import terminal_lines

try:
    from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
    from markupsafe import Markup, escape
except ModuleNotFoundError as error:
    raise MissingDependencyError(
        f"an HTML page needs {error.name}, which is not installed: pip install 'edgetool[deploy]'"
    ) from None


def html_text(value: object) -> Markup:
    """``value`` as text of a page, or as an attribute's value between quotes."""
    return escape(terminal_lines(str(value)))


def template(package: str, name: str) -> Template:
    """The template ``name`` among the files of ``package``; it must be given every name. It may include and extend others of
    them, and, as ``PACKAGE/NAME``, those of another package."""

    def read(asked: str) -> str:
        other, _, file = asked.rpartition("/")
        return files(other or package).joinpath(file).read_text(encoding="utf-8")

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        loader=FunctionLoader(read),
    )
    return environment.get_template(name)


def own_markup(package: str, name: str) -> Markup:
    """A file of ours that goes into a page as it is, such as a style sheet."""
    return Markup(files(package).joinpath(name).read_text(encoding="utf-8"))  # our own file


def _printable(value: Any) -> Any:
    """Text without controls, bidirectional marks and lone surrogates; other values, and markup, as they are."""
    return value if hasattr(value, "__html__") or not isinstance(value, str) else terminal_lines(value)
