from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from firm_lightning.data.jsonl_folder import JsonlFolder
from firm_lightning.modules.alignment_card import directions, meets, read_card
from firm_lightning.report.card import Comparing, WrittenCard, card_of_critic, card_of_predictions
from firm_lightning.report.card_asking import Asking
from firm_lightning.report.card_page import render_card
from tests.report.card_world import ColourCritic, Killed, write_set
from tests.report.html_page import Page

SCORES = [1, 2, 3, 4, 5, 5]


def card(folder: Path, critic: ColourCritic, **changes: Any) -> WrittenCard:
    given: dict[str, Any] = {
        "critic": critic,
        "data": JsonlFolder(path=write_set(folder / "set", SCORES)),
        "output": folder / "card",
        "rubrics": {"alignment": "scenes_alignment"},
        "human": None,
        "parity": None,
        "asking": Asking(batch_size=4, retest=1, repeats=None, seed=0),
        "comparing": Comparing(resamples=50),
        "hardware": "a test",
    }
    return card_of_critic(**{**given, **changes})


def test_a_card_holds_every_figure(tmp_path: Path) -> None:
    # Said: 2 for 1, 2, 3, nothing for 4, 5, 5. Asked again it changes its mind about a2 (3 -> 1).
    critic = ColourCritic(wrong={"a0": 2, "a3": 0}, again_wrong={"a2": 1})
    written = card(tmp_path, critic, parity=ColourCritic(wrong={"a0": 2, "a1": 5, "a3": 0}))
    found = read_card(written.json_file)
    assert found == written.content
    task = found["tasks"]["alignment"]
    figures = task["figures"]
    assert (figures["n"], figures["mae"], figures["exact"], figures["bias"]) == (6, 0.2, 0.8, 0.2)
    assert figures["unreadable_rate"] == pytest.approx(1 / 6)
    assert figures["best_constant_mae"] == pytest.approx((2 + 1 + 0 + 2 + 2) / 5)
    assert figures["retest_answers"] == figures["retest_scores"] == pytest.approx(5 / 6)
    assert figures["parity_scores"] == pytest.approx(5 / 6)
    assert task["retest"]["most_distant"] == 2 and task["parity"]["most_distant"] == 3
    assert task["parity"]["mean_distance"] == pytest.approx(3 / 5)
    assert task["unreadable_reasons"] == {"no score": 1}
    assert [row["bias"] for row in task["bias_by_score"]] == [1, 0, 0, None, 0]
    assert task["confusion"][0] == [0, 1, 0, 0, 0]
    assert task["by_category"]["c0"]["bias"] == pytest.approx(1 / 3) and task["by_category"]["c1"]["bias"] == 0
    assert task["human_ceiling"] is None
    assert found["critic"]["kind"] == "ColourCritic" and found["critic"]["fingerprint"].startswith("settings:")
    assert found["rubrics"]["alignment"]["name"] == "scenes_alignment"
    assert (found["data"]["records"], found["data"]["human"]) == (6, None)
    assert found["speed"]["judgements"] == 6 and found["speed"]["hardware"] == "a test"
    assert found["speed"]["answer_tokens"] is None
    assert found["not_measured"] == {"human_ceiling": "no record has the scores of several raters"}
    assert sorted(path.name for path in written.json_file.parent.iterdir()) == [
        "asked.json",
        "card.json",
        "human.jsonl",
        "index.html",
        "parity.jsonl",
        "predictions.jsonl",
        "report.html",
        "report.json",
        "retest.jsonl",
    ]


def test_the_page_offers_limits_that_the_card_meets(tmp_path: Path) -> None:
    written = card(tmp_path, ColourCritic(wrong={"a0": 2, "a3": 0}))
    offered = re.search("<pre>(.*?)</pre>", written.html_file.read_text(), re.DOTALL)
    assert offered is not None
    limits = yaml.safe_load(offered[1])["model"]["init_args"]["min_alignment"]["limits"]
    assert limits == {"alignment.pairwise": 0.5, "alignment.mae": 0.2, "alignment.unreadable_rate": 0.17}
    figures, ways = written.content["tasks"]["alignment"]["figures"], directions()
    for name, limit in limits.items():
        figure = name.partition(".")[2]
        assert meets(figures[figure], limit, ways[figure])


def test_people_may_be_several_raters_and_only_what_they_scored_is_judged(tmp_path: Path) -> None:
    human = tmp_path / "people.jsonl"
    records = [{"id": f"a{n}", "task": "alignment", "scores": scores} for n, scores in ((0, [1, 2]), (4, [5, 3]))]
    human.write_text("".join(json.dumps(record) + "\n" for record in records))
    critic = ColourCritic()
    found = card(tmp_path, critic, human=human, asking=Asking(4, 0, None, 0)).content
    task = found["tasks"]["alignment"]
    assert task["human_ceiling"]["mae"] == 1.5 and task["human_ceiling"]["raters"] == 2
    assert task["figures"]["mae"] == (0.5 + 1) / 2
    assert critic._asked == [["a0"], ["a0", "a4"]]
    assert found["data"]["human"].startswith("sha256:")
    assert found["not_measured"] == {
        "retest": "retest is 0: nothing was asked again",
        "parity": "no second engine was given",
    }
    text = Page((tmp_path / "card" / "index.html").read_text()).text
    assert "one rater 1.50" in text and "Test-retest retest is 0: nothing was asked again" in text


def test_a_killed_run_makes_the_same_card_when_it_goes_on(tmp_path: Path) -> None:
    whole = card(tmp_path / "whole", ColourCritic()).content
    with pytest.raises(Killed):
        card(tmp_path / "killed", ColourCritic(most_calls=2))
    assert len((tmp_path / "killed" / "card" / "predictions.jsonl").read_text().splitlines()) == 4
    rest = ColourCritic()
    resumed = card(tmp_path / "killed", rest).content
    assert rest._asked[1] == ["a4", "a5"]
    assert resumed["tasks"] == whole["tasks"]
    with pytest.raises(ValueError, match=r"asked\.json: the answers in this folder were given by another critic"):
        card(tmp_path / "killed", ColourCritic(wrong={"a0": 3}))


def test_a_card_of_predictions_says_what_it_did_not_measure(tmp_path: Path) -> None:
    for name, scores in (("p.jsonl", (5, 4)), ("h.jsonl", (5, 2))):
        lines = [json.dumps({"id": str(n), "task": "quality", "score": score}) for n, score in enumerate(scores)]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    written = card_of_predictions(
        predictions=tmp_path / "p.jsonl",
        human=tmp_path / "h.jsonl",
        output=tmp_path / "out",
        comparing=Comparing(resamples=0),
    )
    found = read_card(written.json_file)
    assert found["critic"] is None and found["speed"] is None and found["rubrics"] == {}
    figures = found["tasks"]["quality"]["figures"]
    assert figures["mae"] == 1.0
    assert not [name for name in figures if name.startswith(("retest", "parity"))]
    why = "the card was made from predictions that were there: no critic was asked"
    assert found["not_measured"] == {
        **dict.fromkeys(("critic", "rubrics", "retest", "parity", "speed"), why),
        "human_ceiling": "no record has the scores of several raters",
    }
    text = Page(written.html_file.read_text()).text
    for part in ("Which critic it was", "Rubrics", "Test-retest", "Engine parity", "Speed"):
        assert f"{part} {why}" in text
    assert "min_alignment" not in text


def test_the_page_shows_the_card_and_needs_nothing_from_outside(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    critic = ColourCritic(wrong={"a3": 0})
    written = card(
        tmp_path, critic, hardware=evil, data=JsonlFolder(path=write_set(tmp_path / "x", SCORES, generator=evil))
    )
    html = written.html_file.read_text()
    page = Page(html)
    assert "script" not in page.tags and page.sources == [] and "http" not in html.replace("http-equiv", "")
    found = written.content
    for text in (
        evil,
        found["critic"]["fingerprint"],
        found["data"]["sha256"],
        f"sha256:{found['rubrics']['alignment']['sha256']}",
        "1: no score",
        "MAE 0.00 0.00 to 0.00 best constant 1.40",
        "alignment.pairwise: 1 alignment.mae: 0",
        "Engine parity no second engine was given",
        "alignment 6 100.0% 100.0% 0.00 0.00",
        "+0.00 of 1",
    ):
        assert text in page.text, text
    assert render_card(found) == html


def test_the_page_of_another_scale_shows_order_only(tmp_path: Path) -> None:
    for name, scores in (("p.jsonl", (0.2, 17.5, 3.0)), ("h.jsonl", (1, 5, 2))):
        lines = [json.dumps({"id": str(n), "task": "quality", "score": score}) for n, score in enumerate(scores)]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    written = card_of_predictions(
        predictions=tmp_path / "p.jsonl", human=tmp_path / "h.jsonl", output=tmp_path, comparing=Comparing(resamples=0)
    )
    text = Page(written.html_file.read_text()).text
    assert "only figures of order are given" in text and "Spearman 1.00" in text
    assert not re.search(r"Bias at each|Mean error at each", text)
