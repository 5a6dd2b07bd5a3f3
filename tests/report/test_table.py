from __future__ import annotations

import math
import re

import pytest
import torch
from rich.console import Console
from rich.table import Table

from firm_lightning.metrics.agreement import agreement_intervals, measure_agreement, score_tensors
from firm_lightning.metrics.ceiling import human_ceiling
from firm_lightning.report.table import AgreementRow, PublishedRow, agreement_table


def shown(table: Table, width: int = 80) -> list[list[str]]:
    console = Console(width=width, no_color=True, force_terminal=False)
    with console.capture() as captured:
        console.print(table)
    return [line.split() for line in captured.get().splitlines() if line.strip()]


def measured(name: str = "mine") -> AgreementRow:
    pair = score_tensors([5, 4, 1, 3, None], [5, 2, 2, 3, 1])
    ceiling = human_ceiling([[1, 2], [3, 3], [4, 5]])
    return AgreementRow(name, "execution", measure_agreement(*pair), ceiling=ceiling)


def test_a_critic_stands_beside_constant_ceiling_and_published_figures():
    lines = shown(agreement_table([measured()], published=[PublishedRow("theirs [1]", "execution", {"mae": 0.53})]))
    assert lines[0] == ["Agreement", "with", "people"]
    assert lines[1] == ["items", "MAE", "exact", "±1", "Spearman", "Kendall", "bias", "unread."]
    assert lines[3] == ["execution"]
    assert lines[4] == ["mine", "5", "0.75", "50.0%", "75.0%", "0.63", "0.55", "+0.25", "20.0%"]
    assert lines[5] == ["best", "constant", "-", "1.00", "-", "-", "-", "-", "-", "-"]
    assert lines[6] == ["one", "rater", "3", "0.67", "-", "-", "1.00", "1.00", "-", "-"]
    assert lines[7] == ["theirs", "[1]", "*", "-", "0.53", "-", "-", "-", "-", "-", "-"]
    assert lines[-1] == ["*", "published", "figures"]


def test_intervals_stand_below_their_figures_and_fit_80_columns():
    pair = score_tensors([5, 4, 1, 3] * 300, [5, 2, 2, 4] * 300)
    pair += (torch.arange(1200) // 6,)
    row = AgreementRow("mine", "execution", measure_agreement(*pair), agreement_intervals(*pair, resamples=200))
    lines = shown(agreement_table([row]))
    assert lines[4][:3] == ["mine", "1,200", "1.00"]
    assert len(lines[4]) == 10
    error, rank = row.intervals["mae"], row.intervals["spearman"]
    assert lines[5] == [f"{error.low:.2f}-{error.high:.2f}", f"{rank.low:.2f}-{rank.high:.2f}"]
    assert lines[6][:3] == ["best", "constant", "-"]


def test_published_tasks_get_a_section_of_their_own():
    lines = shown(agreement_table([measured("[red]")], published=[PublishedRow("theirs", "edit", {"mae": 0.62})]))
    assert ["edit"] in lines
    assert any(line[0] == "[red]" for line in lines)


KNOWN = "Known figures: n, mae, exact, within_one, spearman, kendall, pearson, qwk, pairwise, bias, unreadable_rate."


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"mae": 0.5, "perason": 0.5}, f"unknown figure 'perason'. Did you mean 'pearson'? {KNOWN}"),
        ({"beauty": 0.5}, f"unknown figure 'beauty'. {KNOWN}"),
        ({"mae": math.nan}, "'mae' is nan; leave out what was not published."),
        ({"bias": -math.inf}, "'bias' is -inf; leave out what was not published."),
    ],
)
def test_a_published_figure_that_cannot_be_shown_is_refused(values: dict[str, float], problem: str):
    message = f"Published figures of 'theirs' on execution: {problem}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        PublishedRow("theirs", "execution", values)
