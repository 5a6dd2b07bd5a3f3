from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from firm_lightning.report.templates import HERE, styles, template


def test_values_are_escaped_and_none_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_text("<p>{{ words | twice }}</p>\n")
    own = template("own.jinja", tmp_path, twice=lambda text: text * 2)
    assert own.render(words="<b>") == "<p>&lt;b&gt;&lt;b&gt;</p>\n"
    with pytest.raises(UndefinedError, match="'words' is undefined"):
        own.render()


def test_other_folders_use_the_parts_of_this_one(tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_text('{% import "run_parts.html.jinja" as parts %}{{ parts.command("a --b=1") }}')
    page = template("own.jinja", tmp_path).render()
    assert page.strip() == '<pre class="command box"><span>a</span> <span>--b=1</span></pre>'


def test_styles_are_joined_in_order(tmp_path: Path) -> None:
    (tmp_path / "own.css").write_text("p > b { color: red }")
    assert styles("card.css", tmp_path / "own.css") == f"{(HERE / 'card.css').read_text()}\np > b {{ color: red }}"
