"""What decides the result of a run, as plain values with dotted names, so that two runs can be told apart by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from firm_lightning import __version__
from firm_lightning.curation.described import described
from firm_lightning.curation.outputs import prompt_sha256
from firm_lightning.curation.pipeline import Pipeline
from firm_lightning.data.fingerprints import fingerprint, named_paths

if TYPE_CHECKING:
    from firm_lightning.protocols import Stage

_ABSENT = object()


def deciding(pipeline: Pipeline) -> dict[str, Any]:
    """What the labels of an item depend on, flat."""
    found: dict[str, Any] = {"package": __version__}
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
