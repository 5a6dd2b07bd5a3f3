from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import optuna
import pytest
from rich.console import Console

from firm_lightning.sweep.desk import Desk
from firm_lightning.sweep.drawing import importance_bars, parallel_coordinates
from firm_lightning.sweep.outcome import Outcome
from firm_lightning.sweep.page import write_page
from firm_lightning.sweep.results import Results, TrialResult, read_results
from firm_lightning.sweep.showing import Showing, short, shown
from firm_lightning.sweep.space import Parameter, Space
from firm_lightning.sweep.study import CHOSEN, open_study
from tests.sweep.test_desk import settings_of

SPACE = Space(
    {
        "model.init_args.rate": Parameter(log_uniform=(0.01, 1.0)),
        "kind": Parameter(choice=["a", "b", "<c>"]),
        "deep": Parameter(integer=(1, 3), when={"kind": "b"}),
    }
)


def trial(number: int, value: float | None, rate: float, kind: str, *, state: str = "finished") -> TrialResult:
    deep = {"deep": 3} if kind == "b" else {}
    chosen = {"model.init_args.rate": rate, "kind": kind, **deep}
    return TrialResult(number, state, value, chosen, 1, "exit <code> 3" if state == "failed" else "")


def results(direction: str = "max") -> Results:
    settings = settings_of(space=SPACE, trials=8, direction=direction, fit=("--config", "my conf.yaml"))
    trials = (
        trial(0, 0.2, 0.01, "a"),
        trial(1, 0.6, 0.1, "b"),
        trial(2, None, 0.3, "a", state="failed"),
        trial(3, 0.6, 1.0, "<c>"),
        trial(4, 0.9, 0.5, "a", state="given up"),
        trial(5, None, 0.9, "a", state="diverged"),
    )
    return Results(settings, trials, {"kind": 0.75, "model.init_args.rate": 0.25})


def test_every_trial_is_counted() -> None:
    assert results().counts == {
        "finished": 3,
        "given up": 1,
        "failed": 1,
        "diverged": 1,
        "running": 0,
        "waiting": 0,
        "to come": 2,
    }
    assert results().ended == 6


def test_the_best_is_a_finished_one_and_of_equals_the_first() -> None:
    best = results().best
    assert best is not None and best.number == 1
    worst = results("min").best
    assert worst is not None and worst.number == 0


def test_best_command() -> None:
    assert results().best_command() == (
        "python train.py fit --config 'my conf.yaml' --model.init_args.rate=0.1 --kind=b --deep=3 "
        "--run_name s/best_0001"
    )
    nothing = Results(settings_of(trials=3), (trial(0, None, 0.1, "a", state="failed"),), {})
    with pytest.raises(ValueError, match=r"^checkpoints/s: no trial is finished yet \(1 failed, 2 to come\)$"):
        nothing.best_command()


def test_results_of_a_study(here: Path) -> None:
    """The value alone depends on x, the key y says nothing: x is the important one."""
    space = Space({"x": Parameter(uniform=(0.0, 1.0)), "y": Parameter(uniform=(0.0, 1.0))})
    settings = settings_of(space=space, trials=20)
    study = open_study(settings)
    desk = Desk(study, settings)
    for _ in range(19):
        work = desk.next()
        assert work is not None
        desk.tell(work, Outcome("finished", float(work.chosen["x"] or 0)))
    work = desk.next()
    assert work is not None
    desk.report(work, [0.25])
    desk.tell(work, Outcome("given up", reason="given up after 1 values"))
    found = read_results(study, settings)
    assert read_results(study, settings, importance=False) == replace(found, importance={})
    assert sum(found.importance.values()) == pytest.approx(1) and found.importance["x"] > 0.8
    assert (found.trials[19].state, found.trials[19].value) == ("given up", 0.25)
    found.write()
    written = json.loads(Path("checkpoints/s/sweep.json").read_text())
    best = max(study.trials[:19], key=lambda t: t.params["x"])
    assert written["best"] == {"number": best.number, "value": best.params["x"], "chosen": best.params}
    assert written["trials"][19]["run"] == "checkpoints/s/trial_0019"
    assert written["trials"][19]["reason"] == "given up after 1 values"
    few = optuna.create_study()
    assert read_results(few, settings).importance == {}


def test_an_infinite_last_value_leaves_the_file_readable(here: Path) -> None:
    settings = settings_of()
    study = open_study(settings)
    desk = Desk(study, settings)
    work = desk.next()
    assert work is not None
    desk.report(work, [float("inf")])
    desk.tell(work, Outcome("given up"))
    assert study.trials[0].value == float("inf")
    read_results(study, settings).write()
    text = Path("checkpoints/s/sweep.json").read_text()
    assert "Infinity" not in text and json.loads(text)["trials"][0]["value"] is None


def test_values_are_those_that_ran(here: Path) -> None:
    """A trial keeps the values that its command line had, whatever Optuna makes of them."""
    settings = settings_of()
    study = open_study(settings)
    work = Desk(study, settings).next()
    assert work is not None
    assert read_results(study, settings).trials[0].chosen == work.chosen == study.trials[0].params
    work.trial.set_user_attr(CHOSEN, {"x": 0.125})
    assert read_results(study, settings).trials[0].chosen == {"x": 0.125}


def test_lines_go_through_the_values() -> None:
    drawn = str(parallel_coordinates(results()))
    lines = dict(re.findall(r'<polyline class="trial strong strong(\d)" points="([^"]+)"', drawn))
    # Best first: trials 1, 3, 0. The metric runs from .2 (y = 226) to .6 (y = 26); rate .1 is half way on its scale.
    heights = {rank: [float(point.split(",")[1]) for point in points.split()] for rank, points in lines.items()}
    assert heights == {"0": [26, 126, 126, 26], "1": [26, 26, 26, 232], "2": [226, 226, 226, 232]}
    assert "&lt;c&gt;" in drawn and "<c>" not in drawn
    assert 'aria-label="3 trials as lines through m and the searched keys; best: trial 1, trial 3, trial 0"' in drawn


def test_bars_are_as_long_as_their_shares() -> None:
    drawn = str(importance_bars({"kind": 0.75, "model.init_args.rate": 0.25}))
    assert re.findall(r'<rect class="critic" [^>]*width="([\d.]+)"', drawn) == ["225.0", "75.0"]
    assert 'aria-label="kind 75%; model.init_args.rate 25%"' in drawn


class Outside(HTMLParser):
    """Everything a page would fetch, and its tags that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")] + (tag == "script") * [tag]
        if tag not in ("meta", "link", "line", "rect", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()


def test_the_page_is_whole_and_fetches_nothing(here: Path) -> None:
    page = write_page(results()).read_text()
    seen = Outside()
    seen.feed(page)
    assert seen.fetched == [] and "url(" not in page.replace("url(#hatch)", "")
    assert seen.open == []
    assert page.count("<tr") == 7 and "exit &lt;code&gt; 3" in page
    assert "given up" in page and "What mattered" in page
    assert "--deep=3 --run_name s/best_0001</pre>" in re.sub(r"</?span>", "", page), "a command that can be copied"
    assert "<th>model.init_args.rate</th>" not in page and "<th>rate</th>" in page


def test_the_page_of_a_sweep_that_found_nothing(here: Path) -> None:
    page = write_page(Results(settings_of(trials=2), (), {})).read_text()
    assert "The best trial again" not in page and "What mattered" not in page and "<svg" not in page


def test_names_and_values_for_people() -> None:
    assert short("model.init_args.objective.init_args.guidance_beta") == "objective.guidance_beta"
    assert short("model.init_args.learning_rate") == "learning_rate"
    assert short("seed_everything") == "seed_everything"
    assert (shown(0.000123456), shown("a"), shown(None), shown(3)) == ("0.0001235", "a", "null", "3")


def test_what_is_shown_in_a_log_file(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        settings = settings_of(trials=5, metric="val/loss", direction="min")
        elsewhere = Results(settings, (trial(0, 0.5, 0.1, "a"),), {})
        better = Results(settings, (*elsewhere.trials, trial(2, 0.4, 0.1, "a")), {})
        with Showing(elsewhere, Console(file=file, width=200)) as showing:
            showing.began(0, 1, {"a.b": 0.25}, again=True)
            showing.logged(0, 1, [0.7, 0.6])
            showing.ended(0, 1, Outcome("finished", 0.6), elsewhere, seconds=12.3)
            showing.began(0, 2, {"a.b": 0.5}, again=False)
            showing.waiting(0, [4])
            showing.ended(0, 2, Outcome("finished", 0.4), better, seconds=2)
            showing.ended(0, 3, Outcome("failed", reason="exit [bold]"), better, seconds=2)
    lines = [line.rstrip() for line in (tmp_path / "log").read_text().splitlines()]
    assert lines[:5] == [
        "trial 1 goes on: b 0.25",
        "trial 1: val/loss 0.6 in 12 s (b 0.25)",
        "trial 2 begins: b 0.5",
        "trial 2: val/loss 0.4, the best so far in 2 s (b 0.5)",
        "trial 3: failed in 2 s (); exit [bold]",
    ]
    assert any("2/5" in line and "best 0.4" in line for line in lines[5:]), "as the study is, not as this machine ran"
