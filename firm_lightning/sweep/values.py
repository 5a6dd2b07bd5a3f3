"""Values of config keys: as a study holds them, and as the command line reads them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import yaml
from jsonargparse.typing import register_type

MYPY = False  # true to mypy
if MYPY:
    AsWritten = Any
else:

    class AsWritten:
        """The type of a value that a config holds for another parser: as ``Any``, the text "no" would become false."""

    register_type(AsWritten, lambda value: value, lambda value: value, type_check=lambda value, kind: True)

Value = None | bool | int | float | str
"""What a study can hold. A mapping or list among the choices of a config is held as its JSON text."""


def held(value: Any) -> Value:
    """A value as a study holds it."""
    return value if isinstance(value, None | bool | int | float | str) else json.dumps(value)


def flags(chosen: Mapping[str, Value]) -> list[str]:
    """``--key=value`` for each."""
    return [f"--{key}={as_flag(value)}" for key, value in chosen.items()]


def as_flag(value: Value) -> str:
    """A value as the command line reads it back, exactly; a text as it is, for no quotes would be taken off."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return json.dumps(value)


def misread(chosen: Mapping[str, Value], printed: str) -> list[str]:
    """Which texts ``fit`` took for something else, each as a sentence.

    That depends on the type of the key, which ``fit`` alone knows: ``null`` is a text where texts alone are taken, and
    nothing where that is allowed too. A number that is written as the text is, as 32 for ``"32"``, will do.

    Args:
        chosen: Values that ``fit`` was given.
        printed: What it printed for ``--print_config``.
    """
    config = yaml.safe_load(printed)
    return [
        f"space: {key}: fit reads the text {text!r} as {json.dumps(read)}; give another text, or that value itself"
        for key, value in chosen.items()
        for text, read in _misread(_meant(value), _at(config, key))
    ]


def _meant(value: Value) -> Any:
    """A held mapping or list again."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _at(config: Any, key: str) -> Any:
    """The value of a key, in which ``init_args`` may be left out; a mapping of nothing where it is not found."""
    for name in key.split("."):
        if isinstance(config, Mapping) and name not in config:
            config = config.get("init_args")
        config = config[name] if isinstance(config, Mapping) and name in config else {}
    return config


def _misread(meant: Any, read: Any) -> list[tuple[str, Any]]:
    """Texts in a value, and what was read in their place. Defaults that ``fit`` adds to a mapping do not matter."""
    if isinstance(meant, dict) and isinstance(read, dict):
        return [wrong for key in meant.keys() & read.keys() for wrong in _misread(meant[key], read[key])]
    if isinstance(meant, list) and isinstance(read, list):
        return [wrong for pair in zip(meant, read, strict=False) for wrong in _misread(*pair)]
    if not isinstance(meant, str) or "${" in meant or not isinstance(read, None | bool | int | float):
        return []
    is_number = isinstance(read, int | float) and not isinstance(read, bool)
    return [] if is_number and as_flag(read) == meant else [(meant, read)]
