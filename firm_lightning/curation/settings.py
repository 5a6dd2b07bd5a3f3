"""What decides the result of a run, as plain values with dotted names, so that two runs can be told apart by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firm_lightning import __version__
from firm_lightning.curation.outputs import prompt_sha256
from firm_lightning.curation.pipeline import Pipeline
from firm_lightning.data.fingerprints import fingerprint, named_paths

if TYPE_CHECKING:
    from firm_lightning.protocols import Stage

WHERE_NOT_WHAT = frozenset(
    ("endpoints", "api_key_file", "api_key_variable", "concurrency", "request_timeout_s", "round_timeout_s", "retries")
    + ("backoff_s", "breaker_failures", "breaker_pause_s", "refusals_in_a_row", "batch_size", "device")
)
"""Settings of annotators that say where and how patiently they are asked: a resumed run may change them."""
_ABSENT = object()


def deciding(pipeline: Pipeline, *, items: str) -> dict[str, Any]:
    """What labels depend on, flat; ``items`` is the fingerprint of the items."""
    found: dict[str, Any] = {"package": __version__, "items": items}
    for stage in pipeline.stages:
        found |= flat(_of_stage(stage), f"stages.{stage.name}")
    found["stages"] = [stage.name for stage in pipeline.stages]
    if pipeline.negatives is not None:
        found["negatives.seed"] = pipeline.negatives.seed
        found["negatives.check"] = None if pipeline.negatives.check is None else pipeline.negatives.check.name
        for stage in pipeline.negatives_stages:
            found |= flat(_of_stage(stage), f"negatives.{stage.name}")
    return found


def of_finisher(finish: object) -> dict[str, Any]:
    """Settings of a finisher, flat, with fingerprints of the files and folders that it names."""
    settings = described(finish)
    prints = {f"{key} (content)": fingerprint(path) for key, path in named_paths(settings, "finish")}
    return flat(settings, "finish") | prints


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
    names = [field.name for field in fields(value)] if is_dataclass(value) else _arguments(value)
    settings = {name: _kept(value, name) for name in names if name not in WHERE_NOT_WHAT}
    known = {name: described(each) for name, each in settings.items() if each is not _ABSENT}
    return {"class": f"{type(value).__module__}.{type(value).__qualname__}", **known}


def flat(value: Any, name: str) -> dict[str, Any]:
    """Nested mappings as one with dotted names."""
    if not isinstance(value, Mapping):
        return {name: value}
    return {key: found for part, each in value.items() for key, found in flat(each, f"{name}.{part}").items()}


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names whose values differ, or that only one of them has, in alphabetical order."""
    return sorted(name for name in {*one, *other} if one.get(name, _ABSENT) != other.get(name, _ABSENT))


def _of_stage(stage: Stage) -> dict[str, Any]:
    told = {"reads": list(stage.reads), "sees_prompt": stage.sees_prompt, "prompt_sha256": prompt_sha256(stage)}
    annotator = None if stage.annotator is None else {**described(stage.annotator), "name": stage.annotator.name}
    return {**described(stage), **told, "annotator": annotator}


def _arguments(value: object) -> list[str]:
    try:
        return list(inspect.signature(type(value).__init__).parameters)[1:]
    except ValueError:  # built-in types have no signature
        return []


def _kept(value: object, name: str) -> object:
    """A constructor's argument by the attribute of its name; absent where the object keeps it otherwise."""
    return getattr(value, name, getattr(value, f"_{name}", _ABSENT))
