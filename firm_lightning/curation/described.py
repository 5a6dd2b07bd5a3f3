"""Objects as the settings that they were made of, so that two runs, or two annotators, can be told apart."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

WHERE_NOT_WHAT = frozenset(
    ("endpoints", "api_key_file", "api_key_variable", "concurrency", "request_timeout_s", "round_timeout_s", "retries")
    + ("backoff_s", "breaker_failures", "breaker_pause_s", "outage_s", "refusals_in_a_row", "batch_size", "device")
    + ("threads", "local_files_only")
)
"""Settings of annotators that say where and how patiently they are asked: a resumed run may change them."""
_ABSENT = object()


def described(value: object) -> Any:
    """A setting as plain JSON: an object by its class and the arguments of its constructor that it keeps by name."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): described(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [described(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if inspect.isroutine(value) or inspect.isclass(value):
        return value.__qualname__
    settings = {name: each for name, each in _settings(value).items() if name not in WHERE_NOT_WHAT}
    known = {name: described(each) for name, each in settings.items() if each is not _ABSENT}
    return {"class": f"{type(value).__module__}.{type(value).__qualname__}", **known}


def made_alike(one: object, other: object) -> bool:
    """Whether two objects are of one class and were made with the same arguments, as far as they keep all by name."""
    if one is other:
        return True
    if type(one) is not type(other) or inspect.isroutine(one) or inspect.isclass(one):
        return False
    if one is None or isinstance(one, bool | int | float | str | Path | set | frozenset):
        return one == other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(made_alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(made_alike, one, other))
    mine, theirs = _settings(one), _settings(other)
    return _ABSENT not in mine.values() and made_alike(mine, theirs)


def _settings(value: object) -> dict[str, object]:
    """The constructor's arguments by name, each as the attribute of its name; absent where it is kept otherwise."""
    names = [field.name for field in fields(value)] if is_dataclass(value) else _arguments(value)
    return {name: getattr(value, name, getattr(value, f"_{name}", _ABSENT)) for name in names}


def _arguments(value: object) -> list[str]:
    try:
        return list(inspect.signature(type(value).__init__).parameters)[1:]
    except ValueError:  # built-in types have no signature
        return []
