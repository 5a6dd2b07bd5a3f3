"""A page about a sweep: one file, no scripts."""

from __future__ import annotations

from pathlib import Path

from firm_lightning.data.picture_files import write_text
from firm_lightning.report.templates import styles, template
from firm_lightning.sweep.drawing import importance_bars, parallel_coordinates
from firm_lightning.sweep.results import Results
from firm_lightning.sweep.showing import short, shown

HERE = Path(__file__).parent
PAGE_NAME = "index.html"


def write_page(results: Results) -> Path:
    """Write ``index.html`` into the sweep's folder."""
    keys = list(results.settings.space.parameters)
    names = [short(key) for key in keys]
    page = template("sweep.html.jinja", HERE, shown=shown).render(
        results=results,
        settings=results.settings,
        keys=keys,
        names=names if len(set(names)) == len(keys) else keys,
        best=results.best,
        command=results.best_command() if results.best else "",
        bars=importance_bars(results.importance) if results.importance else None,
        lines=parallel_coordinates(results) if len(results.finished) > 1 else None,
        css=styles("page.css", HERE / "sweep.css"),
    )
    file = results.settings.output / PAGE_NAME
    write_text(page, file)
    return file
