"""The card of what a training made: how to load it, what it is made of, how well its critic agrees, and the recipe."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

CONFIG_NAME: Final = "training_config.yaml"
"""The whole config of the training, beside the card."""
FIGURES: Final = ("n", "exact", "within_one", "mae", "spearman", "qwk", "pairwise", "unreadable_rate")
"""Of a report, these figures of each task."""
RECIPE_SECTIONS: Final = ("run_name", "seed_everything", "model", "data")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where weights come from.

    Attributes:
        config: The resolved config of their training as YAML; None for a trainer that no command line made.
        steps: Optimiser steps.
        dtype: Type to save them in; None keeps that of training.
        fingerprints: Of the data, by the config's keys.
        agreement: Figures of the critic against people (or the truth), by task and name.
    """

    config: str | None
    steps: int
    dtype: str | None = None
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    agreement: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class About:
    """What a card begins with: front matter, title, one paragraph, and the lines of Python that load it."""

    front: Mapping[str, str]
    title: str
    text: str
    usage: Sequence[str]


def write_card(
    folder: Path, about: About, facts: Iterable[tuple[str, str]], origin: Origin, hashes: Mapping[str, str]
) -> None:
    """Write ``README.md`` and the config of the training into a folder.

    Args:
        folder: Where the weights are.
        about: How the card begins.
        facts: Rows of its first table.
        origin: Where the weights come from.
        hashes: SHA-256 of each file of weights, by name.
    """
    if origin.config is not None:
        (folder / CONFIG_NAME).write_text(origin.config, encoding="utf-8")
    lines = [
        "---",
        *(f"{name}: {value}" for name, value in about.front.items()),
        "---",
        f"# {about.title}",
        "",
        about.text,
        "",
        "```python",
        *about.usage,
        "```",
        "",
        *_table(("", ""), facts),
        *_agreement(origin.agreement),
        *_section("Files of weights", [f"- `{name}` sha256 `{digest}`" for name, digest in hashes.items()]),
        *_section("Data", [f"- `{key}` {value}" for key, value in origin.fingerprints.items()]),
        *_recipe(origin.config),
    ]
    (folder / "README.md").write_text("\n".join(lines), encoding="utf-8")


def agreement_in(report: Path) -> dict[str, dict[str, float]]:
    """The figures of each task in a ``report.json``.

    Raises:
        ValueError: It is no report of this program.
    """
    try:
        tasks = json.loads(report.read_text(encoding="utf-8"))["tasks"]
        return {
            task: {name: float(values["overall"][name]) for name in FIGURES if values["overall"].get(name) is not None}
            for task, values in tasks.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{report}: cannot be read as a report.json of 'test' or 'report': {error!r}") from error


def _agreement(agreement: Mapping[str, Mapping[str, float]]) -> list[str]:
    if not agreement:
        return []
    rows = [(task, *(_number(values.get(name)) for name in FIGURES)) for task, values in agreement.items()]
    return ["## The critic's agreement", "", *_table(("task", *FIGURES), rows)]


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.0f}" if value == int(value) and value > 1 else f"{value:.3f}"


def _recipe(config: str | None) -> list[str]:
    written: Any = yaml.safe_load(config) if config is not None else None
    if not isinstance(written, Mapping):
        return []
    recipe = {key: written[key] for key in RECIPE_SECTIONS if key in written}
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).rstrip()
    return _section("Recipe", [f"The whole config is `{CONFIG_NAME}`.", "", "```yaml", text, "```"])


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""] if lines else []


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |".replace("|  |  |", "| | |")

    return [line(head), "|" + "---|" * len(head), *(line(row) for row in rows), ""]
