from __future__ import annotations

import html
import re

from firm_lightning.report.run_charts import REPEATED, chart_groups
from firm_lightning.report.run_metrics import Metrics, Point


def logged(*names: str, epoch: int | None = 0, count: int = 3) -> Metrics:
    return Metrics({name: tuple(Point(step, step / 2, epoch) for step in range(count)) for name in names}, 1)


def titles(metrics: Metrics) -> dict[str, list[str]]:
    return {group.title: [chart.title for chart in group.charts] for group in chart_groups(metrics)}


def test_a_critic_and_the_truth_stand_in_one_chart() -> None:
    metrics = logged("round/reward", "round/critic/execution", "val/critic/execution", "round/truth/execution_01")
    assert titles(metrics) == {"What was learnt": ["Reward", "Execution"]}
    (group,) = chart_groups(metrics)
    assert 'aria-label="Execution, by round: critic, pictures of the round 0.000 to 1.000; critic, unseen' in (
        group.charts[1].svg
    )


def test_every_number_is_in_one_chart() -> None:
    names = ["round/reward", "train/loss", "train/kl", "watch/copy_share", "watch/reward_trend", "time/learning_share"]
    names += ["throughput/images_per_s", "memory/resident_mib", "my/own", "train/learning_rate", *REPEATED]
    assert titles(logged(*names)) == {
        "What was learnt": ["Reward"],
        "How it was learnt": ["Loss", "KL term", "Learning rate"],
        "Watch-dogs": ["Pictures that copy their source, are blank or saturated", "Rise and fall over the window"],
        "Time, speed and memory": ["Shares of the time of a round", "Images a second", "Memory in MiB"],
        "All other numbers": ["my/own"],
    }
    assert [group.folded for group in chart_groups(logged(*names))] == [False, False, False, True, True]


def test_steps_count_where_there_are_no_rounds() -> None:
    (group,) = chart_groups(logged("train/loss", "val/loss"))
    assert ", by step:" in group.charts[0].svg
    groups = chart_groups(logged("round/reward", "train/loss"))
    assert [re.search(r", by (\w+):", group.charts[0].svg)[1] for group in groups] == ["round", "step"]  # type: ignore[index]


def test_long_curves_are_thinned_and_say_so() -> None:
    (group,) = chart_groups(logged("train/loss", count=250))
    assert group.charts[0].note == "A point is the mean of 3 logged values."
    assert len(re.search(r'<polyline[^>]*points="([^"]*)"', group.charts[0].svg)[1].split()) == 84  # type: ignore[index]


def test_nothing_logged_is_no_chart() -> None:
    assert chart_groups(Metrics()) == []


def test_names_leave_room_for_their_values_in_the_legend() -> None:
    """Next to 30 letters of 13 px two values of six digits just fit into the drawing; longer names are cut."""
    names = [f"round/{by}/{task}" for by in ("critic", "truth") for task in ("alignment", "execution_01", "cme")]
    names += [
        "round/unreadable_share",
        "round/groups_without_spread",
        "train/kl",
        "train/deviation",
        "train/loss_negative",
    ]
    names += ["val/critic/unreadable_share", "val/critic/alignment", "time/scoring_s", "time/waiting_for_critic_s"]
    labels = [
        html.unescape(re.search('aria-label="(.+?)"', chart.svg)[1])  # type: ignore[index]
        for group in chart_groups(logged(*names))
        for chart in group.charts
    ]
    legends = [
        name for label in labels for name in re.findall(r"(?:, by (?:round|step): |; )([^;]+?) 0\.000 to 1\.000", label)
    ]
    assert len(legends) == len(names) and max(map(len, legends)) <= 30, legends
