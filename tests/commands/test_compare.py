from __future__ import annotations

import json
from pathlib import Path

import pytest

from firm_lightning.commands import compare as module
from firm_lightning.commands.compare import Spread, check_arms, compare, filled, markdown_table
from firm_lightning.commands.lanes import log_name


def test_mean_and_sample_deviation() -> None:
    spread = Spread((0.1, 0.2, 0.6))
    assert spread.mean == pytest.approx(0.3)
    assert spread.std == pytest.approx(0.2645751, abs=1e-7)  # sqrt((.04 + .01 + .09) / 2)
    assert str(spread) == "0.300 ± 0.265"
    assert str(Spread((0.5,))) == "0.500"
    assert str(Spread((None, 0.5))) == "0.500"
    assert str(Spread((None, None))) == "-"


def test_other_braces_stay() -> None:
    assert filled("--world '{a: 1}' {run} {seed}", "x/y_3", 3) == "--world '{a: 1}' x/y_3 3"


def test_table_for_a_document() -> None:
    spreads = {"a": {"n": Spread((1.0,)), "m": Spread((None,))}, "b": {"n": Spread((2.0, 2.0)), "m": Spread((0.0,))}}
    assert markdown_table(spreads) == (
        "| arm | n | m |\n|---|---|---|\n| a | 1.000 | - |\n| b | 2.000 ± 0.000 | 0.000 |\n"
    )


@pytest.mark.parametrize(
    ("arms", "seeds", "result", "message"),
    [
        ({}, [0], "{run}", "compare needs at least one arm and different seeds; it got [] and [0]"),
        ({"a": ["x {run}"]}, [1, 1], "{run}", "compare needs at least one arm and different seeds; it got ['a'] and"),
        ({"a": ["x {run}"]}, [0], "r.json", "result 'r.json' has no {run} in it: all runs would share one file"),
        ({"a/b": ["x {run}"]}, [0], "{run}", "arm 'a/b': a name of letters, digits"),
        ({"a": []}, [0], "{run}", "arm 'a' has no commands"),
        ({"a": ["fit"]}, [0], "{run}", "arm 'a': 'fit' has no {run} in it: runs would overwrite each other"),
    ],
)
def test_what_would_compare_nothing_is_refused(
    arms: dict[str, list[str]], seeds: list[int], result: str, message: str
) -> None:
    with pytest.raises(ValueError, match="^" + module.re.escape(message)):
        check_arms(arms, seeds, result)


def test_finished_runs_are_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def write(lanes: list[list[str]], logs: Path, **settings: object) -> dict[str, float]:
        for commands in lanes:
            ran.append(commands)
            _, name, seed = commands[0].split()
            file = tmp_path / f"{name}.json"
            file.write_text(json.dumps({"means": {"x": 10.0 + int(seed)}}), encoding="utf-8")
        return {}

    monkeypatch.setattr(module, "run_lanes", write)
    settings = {
        "result": str(tmp_path / "{run}.json"),
        "numbers": {"x": "means.x"},
        "output": tmp_path / "study",
        "side_by_side": 2,
    }
    compare(arms={"one": ["fit {run} {seed}"]}, seeds=[0, 4], **settings)  # type: ignore[arg-type]
    assert sorted(ran) == [["fit study_one_0 0"], ["fit study_one_4 4"]]
    compare(arms={"one": ["fit {run} {seed}"], "two": ["fit {run} {seed}"]}, seeds=[0, 4], **settings)  # type: ignore[arg-type]
    assert sorted(ran[2:]) == [["fit study_two_0 0"], ["fit study_two_4 4"]]
    written = json.loads((tmp_path / "study" / "compare.json").read_text(encoding="utf-8"))
    assert written == {"seeds": [0, 4], "arms": {"one": {"x": [10.0, 14.0]}, "two": {"x": [10.0, 14.0]}}}
    assert "| one | 12.000 ± 2.828 |" in (tmp_path / "study" / "compare.md").read_text(encoding="utf-8")


def test_logs_are_named_by_run_or_config() -> None:
    assert log_name(["fit", "--config", "conf/scenes/rl_gen.yaml"]) == "fit_rl_gen"
    assert log_name(["test", "--config", "conf/a.yaml", "--run_name", "study_cme_0"]) == "test_study_cme_0"
    assert log_name(["export", "--ckpt_path", "x"]) == "export"
