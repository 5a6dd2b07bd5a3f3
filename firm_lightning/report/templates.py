"""What every page of the package is made with: its templates and style sheets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

HERE = Path(__file__).parent


def template(name: str, *folders: Path, **filters: Callable[..., Any]) -> Template:
    """A template of ``folders`` or of this one; values are escaped, and one that is missing is an error."""
    environment = Environment(
        loader=FileSystemLoader([*folders, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters)
    return environment.get_template(name)


def styles(*files: str | Path) -> Markup:
    """Style sheets joined; a name without a folder is one of this folder."""
    return Markup("\n".join((HERE / file).read_text(encoding="utf-8") for file in files))
