"""Drawings of a sweep as inline SVG: what mattered, and every trial as a line through its values."""

from __future__ import annotations

import math
from collections.abc import Mapping

from markupsafe import Markup, escape

from firm_lightning.sweep.results import Results, TrialResult
from firm_lightning.sweep.showing import short, shown
from firm_lightning.sweep.space import Parameter

WIDTH = 360
ROW = 42
TOP, BOTTOM, LEFT, RIGHT = 26, 226, 40, 320
NAME_ROWS = 3
"""Names of neighbouring axes stand below one another."""
BEST_DRAWN = 3
"""So many of the best trials are drawn strongly, with their numbers."""


def importance_bars(importance: Mapping[str, float]) -> Markup:
    """One bar for each key, with its share in percent."""
    parts = []
    for place, (key, share) in enumerate(importance.items()):
        y = place * ROW
        parts.append(f'<text x="0" y="{y + 14}">{escape(short(key))}</text>')
        parts.append(f'<rect class="critic" x="0" y="{y + 20}" width="{max(1.0, share * 300):.1f}" height="12"/>')
        parts.append(f'<text class="small" x="{share * 300 + 6:.1f}" y="{y + 31}">{share:.0%}</text>')
    said = escape("; ".join(f"{key} {share:.0%}" for key, share in importance.items()))
    height = len(importance) * ROW
    return Markup(f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{said}">{"".join(parts)}</svg>')


def parallel_coordinates(results: Results) -> Markup:
    """Every finished trial as a line from its metric through the values of its keys; a key not set ends below.

    The best trials are drawn strongly, dashed in different ways and numbered at the metric.
    """
    trials = results.finished
    keys = list(results.settings.space.parameters)
    width = max(WIDTH, LEFT * 2 + 110 * len(keys))
    right = width - LEFT
    xs = [LEFT + (right - LEFT) * n / len(keys) for n in range(len(keys) + 1)]
    low, high = min(t.value or 0.0 for t in trials), max(t.value or 0.0 for t in trials)
    names = [results.settings.metric, *map(short, keys)]
    ends = [(f"{low:.4g}", f"{high:.4g}"), *(_ends(results.settings.space.parameters[key]) for key in keys)]
    parts = [_axis(n, x, names[n], *ends[n], last=n == len(keys)) for n, x in enumerate(xs)]
    sign = -1.0 if results.settings.direction == "max" else 1.0
    order = sorted(trials, key=lambda t: (sign * (t.value or 0.0), t.number))
    for rank, trial in reversed(list(enumerate(order))):
        heights = [_height(((trial.value or 0.0) - low) / (high - low) if high > low else 0.5)]
        heights += [_place(results.settings.space.parameters[key], trial, key) for key in keys]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, heights, strict=True))
        strong = f" strong strong{rank}" if rank < BEST_DRAWN else ""
        parts.append(f'<polyline class="trial{strong}" points="{points}"/>')
        if rank < BEST_DRAWN:
            parts.append(f'<text class="small label" x="{xs[0] - 6:.1f}" y="{heights[0] + 4:.1f}" text-anchor="end">')
            parts.append(f"{trial.number}</text>")
    best = ", ".join(f"trial {trial.number}" for trial in order[:BEST_DRAWN])
    label = f"{len(trials)} trials as lines through {results.settings.metric} and the searched keys; best: {best}"
    body, height = "".join(parts), BOTTOM + 44 + 16 * (NAME_ROWS - 1)
    return Markup(
        f'<svg class="wide" style="min-width:{width}px;max-width:{width * 1.6:.0f}px" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{body}</svg>'
    )


def _axis(place: int, x: float, name: str, low: str, high: str, *, last: bool) -> str:
    """An axis and its name, which neither leaves the drawing nor meets that of a neighbour."""
    anchor = "end" if last else "middle" if place else "start"
    at = x + LEFT - 4 if last else x if place else x - LEFT + 4
    return (
        f'<line class="axis" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{BOTTOM}"/>'
        f'<text class="small" x="{x:.1f}" y="{TOP - 8}" text-anchor="middle">{escape(high)}</text>'
        f'<text class="small" x="{x:.1f}" y="{BOTTOM + 16}" text-anchor="middle">{escape(low)}</text>'
        f'<text class="small label" x="{at:.1f}" y="{BOTTOM + 36 + 16 * (place % NAME_ROWS)}" '
        f'text-anchor="{anchor}">{escape(name)}</text>'
    )


def _ends(parameter: Parameter) -> tuple[str, str]:
    if parameter.choice is not None:
        texts = [shown(value)[:14] for value in (parameter.values[0], parameter.values[-1])]
        return texts[0], texts[1]
    low, high = parameter.range
    return shown(low), shown(high)


def _place(parameter: Parameter, trial: TrialResult, key: str) -> float:
    """Height of a trial on an axis; below it where the key was not set."""
    if key not in trial.chosen:
        return BOTTOM + 6.0
    value = trial.chosen[key]
    if parameter.choice is not None:
        return _height(parameter.values.index(value) / (len(parameter.values) - 1))
    low, high = parameter.range
    number = float(value)  # type: ignore[arg-type]
    if parameter.is_log:
        low, high, number = math.log(low), math.log(high), math.log(number)
    return _height((number - low) / (high - low))


def _height(share: float) -> float:
    return BOTTOM - share * (BOTTOM - TOP)
