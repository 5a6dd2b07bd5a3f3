"""Values of config keys: as a study holds them, and as the command line reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

Value = None | bool | int | float | str
"""What a study can hold. A mapping or list among the choices of a config is held as its JSON text."""


def held(value: Any) -> Value:
    """A value as a study holds it."""
    return value if isinstance(value, None | bool | int | float | str) else json.dumps(value)


def flags(chosen: Mapping[str, Value]) -> list[str]:
    """``--key=value`` for each; a text that YAML would take for something else is quoted."""
    return [f"--{key}={as_flag(value)}" for key, value in chosen.items()]


def as_flag(value: Value) -> str:
    """A value as the command line reads it back, exactly."""
    if isinstance(value, float):
        digits = repr(value)
        mantissa, e, exponent = digits.partition("e")
        return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else digits
    if isinstance(value, str):
        try:
            read = yaml.safe_load(value)
        except yaml.YAMLError:
            read = None
        return value if read == value or isinstance(read, dict | list) else json.dumps(value)
    return json.dumps(value)
