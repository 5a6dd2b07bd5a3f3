from __future__ import annotations

from pathlib import Path

import pytest

from firm_lightning.commands.function_command import function_parser
from firm_lightning.commands.list_flags import gather_lists


def example(
    *, files: list[Path], more: list[Path] | None = None, seeds: list[int] | None = None, name: str = ""
) -> None:
    """An example.

    Args:
        files: Files.
        more: More files.
        seeds: Numbers.
        name: A name.
    """


@pytest.mark.parametrize(
    ("argv", "files", "more"),
    [
        (["--files", "a", "b c", "--more", "d"], ["a", "b c"], ["d"]),
        (["--more", "3", "--files", "1", "null"], ["1", "null"], ["3"]),
        (["--files=[a, b]"], ["a", "b"], None),
        (["--files", "[a, b]"], ["a", "b"], None),
        (["--files", "a", "--files+", "b"], ["a", "b"], None),
        (["--name", "x", "--files", "-", "--seeds", "[1]"], None, None),
    ],
)
def test_paths_behind_a_flag_are_its_list(argv: list[str], files: list[str] | None, more: list[str] | None) -> None:
    parser = function_parser(example, prog="example", summary="")
    gathered = gather_lists(parser, argv)
    if files is None:  # nothing that a path could be: left to the parser to refuse
        assert gathered == argv
        return
    found = parser.parse_args(gathered)
    assert found.files == [Path(name) for name in files]
    assert found.more == (None if more is None else [Path(name) for name in more])


def switched(*, overwrite: bool = False, name: str = "") -> None:
    """An example.

    Args:
        overwrite: Whether to.
        name: A name.
    """


@pytest.mark.parametrize(
    ("argv", "overwrite", "name"),
    [
        (["--overwrite"], True, ""),
        (["--overwrite", "--name", "x"], True, "x"),
        (["--name", "x", "--overwrite", "false"], False, "x"),
        (["--overwrite=true"], True, ""),
        (["--name", "x"], False, "x"),
    ],
)
def test_a_switch_without_a_value_is_on(argv: list[str], overwrite: bool, name: str) -> None:
    parser = function_parser(switched, prog="example", summary="")
    found = parser.parse_args(gather_lists(parser, argv))
    assert (found.overwrite, found.name) == (overwrite, name)
