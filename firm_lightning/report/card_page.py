"""The card as a page: one HTML file, made of ``card.json`` alone, without scripts, links or anything to be fetched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from firm_lightning.report.card_charts import signed_bars
from firm_lightning.report.charts import HATCH, error_bars, score_counts
from firm_lightning.report.columns import COLUMNS, UNKNOWN, Column, count, percent, points
from firm_lightning.report.templates import styles, template

TILES = ("n", "mae", "exact", "within_one", "spearman", "pairwise", "qwk", "bias", "unreadable_rate")
BREAKDOWN = ("n", "mae", "exact", "pairwise", "bias", "unreadable_rate")
GATE = ("pairwise", "mae", "unreadable_rate")
"""Figures that the page shows how to make limits of."""
NAMES = {
    "critic": "Which critic it was",
    "rubrics": "Rubrics",
    "retest": "Test-retest",
    "parity": "Engine parity",
    "speed": "Speed",
    "human_ceiling": "Human ceiling",
}
SHOWN_LINES = 50


def render_card(card: Mapping[str, Any]) -> str:
    """The whole page as text."""
    return template("card.html.jinja").render(
        card=card,
        css=styles("page.css", "card.css"),
        hatch=HATCH,
        title="predictions of a critic" if card["critic"] is None else card["critic"]["name"],
        tasks=[_task_view(name, task) for name, task in card["tasks"].items()],
        repeats=_repeats(card),
        speed=_speed(card["speed"]),
        not_measured=[(NAMES[name], why) for name, why in card["not_measured"].items()],
        gate=_gate(card["tasks"]),
        meanings=[column for column in COLUMNS if column.key in TILES],
        intervals_note=_intervals_note(card["bootstrap"]),
        shown_lines=SHOWN_LINES,
    )


def _task_view(name: str, task: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "tiles": _tiles(task),
        "confusion": _confusion(task),
        "charts": _charts(task),
        "breakdowns": [
            _breakdown(title, task[key], task)
            for title, key in (("By category", "by_category"), ("By generator", "by_generator"))
            if len(task[key]) > 1  # a single part is the whole
        ],
        "reasons": list(task["unreadable_reasons"].items()),
        "unreadable": sum(task["unreadable_reasons"].values()),
    }


def _tiles(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    ceiling = task["human_ceiling"] or {}
    tiles = []
    for column in _columns(TILES):
        text = _text(column, task["figures"])
        beside = [] if column.key == "unreadable_rate" else [_interval(column, task["intervals_95"])]
        if column.key == "mae":
            beside.append(f"best constant {_form(points, task['figures'].get('best_constant_mae'))}")
        if column.key == "n" and ceiling:
            beside.append(f"{ceiling['n']:,} with up to {ceiling['raters']} raters")
        elif ceiling.get(column.key) is not None:
            beside.append(f"one rater {column.form(ceiling[column.key])}")
        if text != UNKNOWN:
            tiles.append({"heading": column.heading, "text": text, "beside": [line for line in beside if line]})
    return tiles


def _confusion(task: Mapping[str, Any]) -> dict[str, Any] | None:
    if task["confusion"] is None:
        return None
    rows = []
    for level, counts in zip(task["levels"], task["confusion"], strict=True):
        total = sum(counts) or 1
        cells = [
            {"count": number, "share": round(number / total, 3), "same": level == answer}
            for answer, number in zip(task["levels"], counts, strict=True)
        ]
        rows.append({"level": level, "cells": cells})
    return {"levels": task["levels"], "rows": rows}


def _charts(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    charts = []
    if task["bias_by_score"]:
        rows = [(str(row["score"]), _nan(row["bias"]), row["interval_95"], row["n"]) for row in task["bias_by_score"]]
        drawing = signed_bars(rows, title="Mean of critic minus people at each true score")
        note = "Mean of critic minus people, with its interval and the number of items. + too lenient, - too strict."
        charts.append({"title": "Bias at each true score", "svg": drawing, "note": note})
    if task["confusion"] is not None:
        levels, counts, figures = task["levels"], task["confusion"], task["figures"]
        errors = [
            (str(level), _nan(figures.get(f"mae_at_{level}")), sum(row))
            for level, row in zip(levels, counts, strict=True)
        ]
        charts.append(
            {
                "title": "Mean error at each true score",
                "svg": error_bars(errors, title="Mean absolute error at each true score"),
                "note": "In points, with the number of items behind it.",
            }
        )
        columns = [sum(column) for column in zip(*counts, strict=True)]
        given = [(str(level), sum(row), said) for level, row, said in zip(levels, counts, columns, strict=True)]
        drawing = score_counts(given, title="Scores given by people and by the critic")
        charts.append({"title": "How often each score was given", "svg": drawing, "note": ""})
    return charts


def _breakdown(title: str, parts: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    whole = {**task["figures"], "intervals_95": task["intervals_95"]}
    rows = [
        {
            "name": name,
            "cells": [
                {"text": _text(column, part), "interval": _interval(column, part["intervals_95"])}
                for column in _columns(BREAKDOWN)
            ],
        }
        for name, part in (*parts.items(), ("all", whole))
    ]
    return {"title": title, "columns": _columns(BREAKDOWN), "rows": rows}


def _repeats(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    second = "" if card["parity_critic"] is None else f"{card['parity_critic']['kind']} {card['parity_critic']['name']}"
    kinds = (
        ("Asked again, beside other neighbours", "retest"),
        (f"The second engine: {second}", "parity"),
    )
    return [
        {
            "title": title,
            "rows": [
                {
                    "name": task,
                    "cells": [
                        count(found["n"]),
                        percent(found["scores"]),
                        percent(found["answers"]),
                        _form(points, found["mean_distance"]),
                        _form(points, found["most_distant"]),
                    ],
                }
                for task, found in ((task, part[key]) for task, part in card["tasks"].items())
                if found is not None
            ],
        }
        for title, key in kinds
        if any(part[key] is not None for part in card["tasks"].values())
    ]


def _speed(found: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if found is None:
        return []
    tokens = found["answer_tokens_per_s"]
    tiles = [
        {
            "heading": "judgements per second",
            "text": f"{found['judgements_per_s']:.3g}",
            "beside": [f"{found['judgements']:,} in {found['seconds']:,.0f} s"],
        },
        {
            "heading": "answer tokens per second",
            "text": "not known" if tokens is None else f"{tokens:,.0f}",
            "beside": [] if tokens is None else [f"{found['answer_tokens'] / found['judgements']:.0f} an answer"],
        },
    ]
    return tiles


def _gate(tasks: Mapping[str, Any]) -> list[str]:
    """Limits as one would write them: the critic's own figures, rounded to what it still meets."""
    lines = []
    for task, part in tasks.items():
        for key in GATE:
            value = part["figures"].get(key)
            if value is not None:
                steps = 100 if key == "unreadable_rate" else 20
                limit = (math.floor if key == "pairwise" else math.ceil)(value * steps) / steps
                lines.append(f"{task}.{key}: {limit:g}")
    return lines


def _columns(keys: Sequence[str]) -> list[Column]:
    return [column for column in COLUMNS if column.key in keys]


def _text(column: Column, figures: Mapping[str, Any]) -> str:
    return _form(column.form, figures.get(column.key))


def _interval(column: Column, intervals: Mapping[str, Any]) -> str:
    ends = intervals.get(column.key)
    return "" if ends is None else f"{column.form(ends[0])} to {column.form(ends[1])}"


def _form(form: Any, value: float | None) -> str:
    return UNKNOWN if value is None else str(form(value))


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


def _intervals_note(bootstrap: Mapping[str, int]) -> str:
    if not bootstrap["resamples"]:
        return "None were asked for."
    return (
        f"The small numbers are percentile-bootstrap 95% intervals from {bootstrap['resamples']:,} resamples (seed "
        f"{bootstrap['seed']}). Whole groups are drawn where groups are given, single items otherwise."
    )
