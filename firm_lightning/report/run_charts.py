"""Which curves a page about a run shows, in which order and together with which others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from firm_lightning.report.line_chart import Curve, line_chart
from firm_lightning.report.run_metrics import Metrics, thinned
from firm_lightning.report.score_pictures import Chart
from firm_lightning.types import TASKS

MOST_POINTS = 100
MOST_CURVES = 6
PER_ROUND = ("round/", "val/", "watch/", "time/")
"""Beginnings of names that are logged once a round."""


@dataclass(frozen=True, slots=True)
class ChartGroup:
    """Charts under one heading; ``folded`` ones are of less interest."""

    title: str
    charts: tuple[Chart, ...]
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A chart that is drawn if at least one of its curves was logged: logged name -> name in the legend."""

    title: str
    curves: Mapping[str, str]
    note: str = ""


SPEED = "Time, speed and memory"
REPEATED = ("round/critic/reward", "round/critic/unreadable_share")
"""Logged under another name too."""
RATE = "train/learning_rate"
ROUND, HELD = "pictures of the round", "unseen prompts"


def chart_groups(metrics: Metrics) -> list[ChartGroup]:
    """Every logged number in exactly one chart."""
    left = {name: None for name in metrics.series if name not in REPEATED}
    groups = []
    for title, plans in (
        ("What was learnt", [*_reward_plans(), *_agreement_plans(metrics)]),
        ("How it was learnt", _learning_plans(left)),
        ("Watch-dogs", _watch_plans(left)),
        (SPEED, _speed_plans(left)),
    ):
        charts = [chart for plan in plans if (chart := _drawn(plan, metrics, left)) is not None]
        groups.append(ChartGroup(title, tuple(charts), folded=title == SPEED))
    rest = [chart for name in sorted(left) if (chart := _drawn(Plan(name, {name: name}), metrics, left)) is not None]
    groups.append(ChartGroup("All other numbers", tuple(rest), folded=True))
    return [group for group in groups if group.charts]


def _reward_plans() -> list[Plan]:
    reward = {"round/reward": ROUND, "val/critic/reward": HELD, "watch/held_out_reward": "critic held out"}
    plans = [Plan("Reward", reward, "What the policy is taught with, 0 to 1.")]
    for task in TASKS:
        plans.append(
            Plan(
                task.capitalize(),
                {
                    f"round/critic/{task}": f"critic, {ROUND}",
                    f"val/critic/{task}": f"critic, {HELD}",
                    f"round/truth/{task}_01": f"truth, {ROUND}",
                    f"val/truth/{task}_01": f"truth, {HELD}",
                },
                "Score of the critic and, where it can be measured, the truth, 0 to 1.",
            )
        )
    others = {
        "exact": "Truth: share of pictures without a fault",
        "alignment_score": "Truth: score of alignment",
        "cme": "Truth: reward that the truth would give",
        "copy": "Truth: share of copies of the source",
        "leftover_01": "Truth: share of parts that are nothing",
    }
    return plans + [Plan(title, {f"round/truth/{n}": ROUND, f"val/truth/{n}": HELD}) for n, title in others.items()]


def _agreement_plans(metrics: Metrics) -> list[Plan]:
    tasks = [task for task in TASKS if f"val/{task}/mae" in metrics.series]
    plans = []
    for task in tasks:
        errors = {f"val/{task}/mae": "critic", f"val/{task}/best_constant_mae": "best constant answer"}
        plans.append(Plan(f"Mean error in points: {task}", errors, "On validation data; lower is better."))
        shares = {"exact": "exact", "within_one": "at most one point apart", "pairwise": "pairs in the right order"}
        shares |= {"unreadable_rate": "unreadable"}
        plans.append(Plan(f"Shares: {task}", {f"val/{task}/{name}": said for name, said in shares.items()}))
        orders = {"spearman": "Spearman", "kendall": "Kendall", "pearson": "Pearson", "qwk": "weighted kappa"}
        plans.append(Plan(f"Correlations: {task}", {f"val/{task}/{name}": said for name, said in orders.items()}))
    return plans


def _learning_plans(left: Iterable[str]) -> list[Plan]:
    rates = [name for name in sorted(left) if name.startswith(RATE)]
    return [
        Plan("Loss", {"train/loss": "training", "val/loss": "validation"}),
        Plan(
            "Parts of the loss",
            {
                "train/policy_loss": "both sides, weighted",
                "train/loss_positive": "towards good pictures",
                "train/loss_negative": "away from bad ones",
            },
        ),
        Plan("KL term", {"train/kl": "squared distance to start"}, "Of the velocities to those of the frozen start."),
        Plan("Deviation", {"train/deviation": "distance to drawing weights"}),
        Plan("Spread of the reward", {"round/reward_spread": "of the whole round", "round/group_spread": "in a group"}),
        Plan(
            "What could be learnt from",
            {
                "round/usable_share": "pictures that teach",
                "round/unreadable_share": "unreadable answers",
                "round/groups_without_spread": "groups without spread",
                "val/critic/unreadable_share": f"unreadable, {HELD}",
            },
            "Shares, 0 to 1.",
        ),
        Plan("Learning rate", {name: f"learning rate {name.removeprefix(RATE).strip('/')}".strip() for name in rates}),
        Plan("Gradient norm", {"train/gradient_norm": "before clipping"}),
    ]


def _watch_plans(left: Iterable[str]) -> list[Plan]:
    shares = {f"watch/{name}_share": name for name in ("copy", "blank", "saturated")}
    trends = {
        name: name.removeprefix("watch/").removesuffix("_trend").replace("_", " ")
        for name in sorted(left)
        if name.startswith("watch/") and name.endswith("_trend")
    }
    return [
        Plan("Pictures that copy their source, are blank or saturated", shares, "Shares, 0 to 1."),
        Plan("Rise and fall over the window", trends, "A reward that rises while the truth falls is no success."),
    ]


def _speed_plans(left: Iterable[str]) -> list[Plan]:
    shares = {f"time/{name}_share": name for name in ("sampling", "scoring", "learning")}
    seconds = {
        "time/sampling_s": "sampling",
        "time/waiting_for_critic_s": "waiting for the critic",
        "time/scoring_s": "scoring, beside sampling too",
        "time/learning_s": "learning",
    }
    plans = [Plan("Shares of the time of a round", shares), Plan("Seconds of a round", seconds)]
    for name in ("samples", "images", "tokens"):
        plans.append(Plan(f"{name.capitalize()} a second", {f"throughput/{name}_per_s": f"{name}/s"}))
    memory = {name: name.removeprefix("memory/") for name in sorted(left) if name.startswith("memory/")}
    return [*plans, Plan("Memory in MiB", memory)]


def _drawn(plan: Plan, metrics: Metrics, left: dict[str, None]) -> Chart | None:
    """The chart; what it shows is taken out of ``left``."""
    names = [name for name in plan.curves if name in left][:MOST_CURVES]
    if not names:
        return None
    by_round = metrics.draws_rounds and all(
        point.epoch is not None for name in names for point in metrics.series[name] if name.startswith(PER_ROUND)
    )
    by_round = by_round and all(name.startswith(PER_ROUND) for name in names)
    curves = []
    thin = 0
    for name in names:
        del left[name]
        points = thinned(metrics.series[name], MOST_POINTS)
        thin = max(thin, -(-len(metrics.series[name]) // len(points)))
        xy = tuple((float(point.epoch or 0) if by_round else float(point.step), point.value) for point in points)
        curves.append(Curve(plan.curves[name], xy))
    note = plan.note + (f" A point is the mean of {thin} logged values." if thin > 1 else "")
    drawing = line_chart(curves, title=plan.title, x_name="round" if by_round else "step")
    return Chart(plan.title, drawing, note.strip())
