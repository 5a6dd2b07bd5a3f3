"""Lets flags be written as in a shell: ``--ratings *.jsonl`` for a list of paths, ``--best`` for ``--best true``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from jsonargparse import ArgumentParser


def gather_lists(parser: ArgumentParser, argv: Sequence[str]) -> list[str]:
    """The command line with ``--flag a b`` as ``--flag=["a", "b"]`` for flags of the type ``list[Path]``.

    The paths end at the next flag. A list that is written out (``--flag '[a, b]'``) stays as it is. A flag of the type
    ``bool`` without a value is true.
    """
    flags = {
        option
        for action in parser._actions
        if _takes_paths(getattr(action, "_typehint", None))
        for option in action.option_strings
    }
    switches = {
        option
        for action in parser._actions
        if getattr(action, "_typehint", None) is bool or action.type is bool
        for option in action.option_strings
    }
    gathered: list[str] = []
    left = list(argv)
    while left:
        word = left.pop(0)
        if word in switches and (not left or left[0].startswith("-")):
            word = f"{word}=true"
        paths: list[str] = []
        if word in flags:
            while left and not left[0].startswith("-"):
                paths.append(left.pop(0))
        if paths and not (len(paths) == 1 and paths[0].startswith("[")):
            gathered.append(f"{word}={json.dumps(paths)}")
        else:
            gathered += [word, *paths]
    return gathered


def _takes_paths(hint: Any) -> bool:
    if get_origin(hint) in (Union, UnionType):
        return any(_takes_paths(each) for each in get_args(hint))
    return get_origin(hint) is list and get_args(hint) == (Path,)
