"""A page about a sweep: one file, no scripts."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import firm_lightning.report
from firm_lightning.data.picture_files import write_text
from firm_lightning.sweep.drawing import importance_bars, parallel_coordinates
from firm_lightning.sweep.results import Results
from firm_lightning.sweep.showing import short, shown

HERE = Path(__file__).parent
STYLES = (Path(firm_lightning.report.__file__).parent / "page.css", HERE / "sweep.css")
PAGE_NAME = "index.html"


def write_page(results: Results) -> Path:
    """Write ``index.html`` into the sweep's folder."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    keys = list(results.settings.space.parameters)
    names = [short(key) for key in keys]
    page = environment.get_template("sweep.html.jinja").render(
        results=results,
        settings=results.settings,
        keys=keys,
        names=names if len(set(names)) == len(keys) else keys,
        best=results.best,
        command=results.best_command() if results.best else "",
        bars=importance_bars(results.importance) if results.importance else None,
        lines=parallel_coordinates(results) if len(results.finished) > 1 else None,
        css=Markup("\n".join(style.read_text(encoding="utf-8") for style in STYLES)),
    )
    file = results.settings.output / PAGE_NAME
    write_text(page, file)
    return file
