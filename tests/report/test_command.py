from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import pytest
import scipy.stats
import torch
from PIL import Image

from firm_lightning.data.records import BadRecord
from firm_lightning.report.command import agreement_report
from firm_lightning.report.table import PublishedRow
from tests.report.conftest import Write, meant, said
from tests.report.html_page import Page

torch.set_num_threads(1)
TIFA = Path(__file__).parents[2].parent / "shared" / "data" / "human"


def edit_files(write: Write) -> dict[str, Path]:
    """Two tasks, one critic on the human scale."""
    tasks = {"execution": ((5, 5), (4, 2), (1, 2), (3, 3)), "consistency": ((5, 1), (2, 2), (None, 4))}
    rows = [(task, str(place), *pair) for task, pairs in tasks.items() for place, pair in enumerate(pairs)]
    return {
        "predictions": write("p.jsonl", [said(name, score, task) for task, name, score, _ in rows]),
        "human": write("h.jsonl", [meant(name, score, task, group="g") for task, name, _, score in rows]),
    }


@pytest.mark.skipif(not TIFA.is_dir(), reason="no TIFA ratings beside the checkout")
@pytest.mark.parametrize(
    ("critic", "spearman", "kendall"),
    [
        ("tifa_mplug-large", 59.2, 47.2),
        ("tifa_blip2-flant5xl", 55.8, 43.6),
        ("tifa_git-large", 54.5, 42.6),
        ("clipscore_vitb32", 32.0, 23.1),
        ("bleu", 25.9, 18.8),
    ],
)
def test_published_correlations_on_real_ratings(tmp_path: Path, critic: str, spearman: float, kendall: float):
    agreement_report(
        predictions=TIFA / "tifa_v1_critics" / f"{critic}.jsonl",
        human=TIFA / "tifa_v1_human.jsonl",
        output=tmp_path,
        resamples=0,
    )
    task = json.loads((tmp_path / "report.json").read_text())["tasks"]["alignment"]
    assert round(100 * task["overall"]["spearman"], 1) == spearman
    assert round(100 * task["overall"]["kendall"], 1) == kendall
    assert task["overall"]["mae"] is None
    assert task["human_ceiling"]["raters"] == 2
    assert task["human_ceiling"]["mae"] == pytest.approx(0.53, abs=1e-12)
    # scipy.stats.spearmanr and kendalltau of the first rater against the second.
    assert task["human_ceiling"]["spearman"] == pytest.approx(0.7222376915010708, abs=1e-12)
    assert task["human_ceiling"]["kendall"] == pytest.approx(0.6385222774977691, abs=1e-12)
    assert {name: part["n"] for name, part in task["generator"].items()} == dict.fromkeys(
        ("mini_dalle", "stable_diffusion_v1_1", "stable_diffusion_v1_5", "stable_diffusion_v2_1", "vq_diffusion"), 160
    )
    page = Page((tmp_path / "report.html").read_text())
    assert "Critic's numbers at each human score" in page.text
    assert "svg" in page.tags


def test_figures_of_every_task_and_of_all_together(write: Write, tmp_path: Path):
    summary = agreement_report(**edit_files(write), output=tmp_path / "new" / "out", resamples=50)
    found = json.loads(summary.json_file.read_text())
    execution = found["tasks"]["execution"]["overall"]
    assert (execution["mae"], execution["exact"], execution["n"], execution["mae_at_2"]) == (0.75, 0.5, 4, 1.5)
    assert execution["spearman"] == pytest.approx(scipy.stats.spearmanr([5, 4, 1, 3], [5, 2, 2, 3])[0], abs=1e-12)
    # All items are of one group, so there is nothing to resample.
    assert execution["intervals_95"] == {}
    assert found["tasks"]["consistency"]["overall"]["unreadable_rate"] == pytest.approx(1 / 3)
    # Errors 0 2 1 0 and 4 0. Pairs that people order: 5 in the first task, one of them (3 above 2) reversed by the
    # critic, and 1 in the second, reversed.
    assert found["all_tasks"]["mae"] == pytest.approx(7 / 6)
    assert found["all_tasks"]["pairwise"] == pytest.approx(4 / 6)
    assert found["all_tasks"]["spearman"] is None
    assert found["counts"]["unreadable"] == 1
    assert summary.notices() == ["Unreadable answers: 1. They are in no other figure."]


def test_published_figures_stand_in_both_files(write: Write, tmp_path: Path):
    rows = [PublishedRow("theirs", "execution", {"mae": 0.5}), PublishedRow("theirs", "consistency", {"mae": 1.25})]
    summary = agreement_report(**edit_files(write), output=tmp_path, resamples=0, published=rows)
    found = json.loads(summary.json_file.read_text())
    assert found["published"] == [
        {"name": "theirs", "task": "execution", "values": {"mae": 0.5}},
        {"name": "theirs", "task": "consistency", "values": {"mae": 1.25}},
    ]
    assert found["tasks"]["execution"]["overall"]["mae"] == 0.75
    text = Page(summary.html_file.read_text()).text
    marked = "* Published by others, not measured here."
    assert re.findall(r"Published figures MAE (this critic \S+ theirs \* \S+) " + re.escape(marked), text) == [
        "this critic 0.75 theirs * 0.50",
        "this critic 2.00 theirs * 1.25",
    ]


def test_what_does_not_match_is_counted_listed_and_shown(write: Write, tmp_path: Path):
    predictions = write("p.jsonl", [said("a", 5), said("b", 4), said("a", 1), said("stray", 3), "{"])
    human = write("h.jsonl", [meant("a", 5), meant("b", 3), meant("gone", 2), meant("b", 1), meant("c", 9)])
    summary = agreement_report(predictions=predictions, human=human, output=tmp_path, on_bad_record="skip")
    found = json.loads(summary.json_file.read_text())
    assert found["counts"] == {
        "compared": 2,
        "unreadable": 0,
        "missing": 1,
        "unknown": 1,
        "repeated_predictions": 1,
        "repeated_human": 1,
        "skipped_predictions": 1,
        "skipped_human": 1,
    }
    assert found["missing"] == [{"id": "gone", "task": "alignment", "origin": f"{human}:3"}]
    assert found["unknown"] == [{"id": "stray", "task": "alignment", "origin": f"{predictions}:4"}]
    assert found["repeated_predictions"][0]["origin"] == f"{predictions}:3"
    assert found["repeated_human"][0]["origin"] == f"{human}:4"
    assert found["skipped_human"] == [
        f"{human}:5: 'score' holds 9, outside the scale 1 to 5. Set `scale` if people scored on another scale."
    ]
    assert found["tasks"]["alignment"]["overall"]["mae"] == 0.5
    text = Page(summary.html_file.read_text()).text
    for line in ("gone, alignment (h.jsonl:3)", "stray, alignment (p.jsonl:4)", "a, alignment (p.jsonl:3)"):
        assert line in text
    for notice in summary.notices():
        assert notice in text
    assert "The figures cover 66.7% of the human records." in summary.notices()
    with pytest.raises(BadRecord, match=rf"^{re.escape(str(predictions))}:5: broken JSON at character 2 "):
        agreement_report(predictions=predictions, human=human, output=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_page_needs_nothing_from_outside_and_escapes_what_it_shows(write: Write, tmp_path: Path):
    evil = "<script>alert(1)</script>"
    files = {
        "predictions": write("p.jsonl", [said(evil, 1, reasoning=evil), said("b", None, unreadable=evil)]),
        "human": write("h.jsonl", [meant(evil, 5, prompt=evil, generator=evil, category=evil), meant("b", 1)]),
    }
    summary = agreement_report(**files, output=tmp_path)
    html = summary.html_file.read_text()
    page = Page(html)
    assert "script" not in page.tags
    assert page.sources == []
    assert "http" not in html.replace("http-equiv", "")
    assert page.text.count(evil) >= 5
    assert summary.html_file.read_bytes() == agreement_report(**files, output=tmp_path).html_file.read_bytes()


def test_pictures_are_carried_in_the_page_and_missing_ones_are_said(write: Write, tmp_path: Path):
    root = tmp_path / "pictures"
    root.mkdir()
    Image.new("RGB", (900, 300), (200, 30, 30)).save(root / "source.png")
    Image.new("RGB", (32, 32), (30, 200, 30)).save(root / "edited.png")
    (root / "text.png").write_text("no picture")
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    images = [["source.png", "edited.png"], ["../secret.png", "gone.png"], ["text.png", str(tmp_path / "secret.png")]]
    names = ["a", "b", "c"]
    summary = agreement_report(
        predictions=write("p.jsonl", [said(name, 1, "execution") for name in names]),
        human=write("h.jsonl", [meant(n, 5, "execution", image=i) for n, i in zip(names, images, strict=True)]),
        output=tmp_path / "out",
        images_root=root,
        worst=3,
    )
    page = Page(summary.html_file.read_text())
    assert len(page.sources) == 2
    sizes = []
    for source in page.sources:
        head, data = source.split(",")
        assert head in ("data:image/jpeg;base64", "data:image/png;base64")
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            sizes.append(picture.size)
    assert sizes == [(256, 85), (256, 256)]
    assert page.text.count("No picture: ") == 4
    assert f"No picture: '../secret.png' leads outside the data folder {root}" in page.text
    assert "No picture: 'text.png' is not a picture, or its head is damaged" in page.text


def test_pictures_are_not_shown_without_a_root(write: Write, tmp_path: Path):
    summary = agreement_report(
        predictions=write("p.jsonl", [said("a", 1)]),
        human=write("h.jsonl", [meant("a", 5, image="x.png")]),
        output=tmp_path,
    )
    assert "No pictures: no images_root was given." in Page(summary.html_file.read_text()).text
    missing = tmp_path / "none"
    message = f"{missing}: no such folder. Give images_root the folder that 'image' paths start from."
    with pytest.raises(BadRecord, match=f"^{re.escape(message)}$"):
        agreement_report(
            predictions=tmp_path / "p.jsonl", human=tmp_path / "h.jsonl", output=tmp_path, images_root=missing
        )


def test_worst_cases_come_first_and_confusion_is_counted(write: Write, tmp_path: Path):
    scores = [(1, 5), (4, 5), (3, 1), (2, 2)]
    summary = agreement_report(
        predictions=write("p.jsonl", [said(f"item{i}", score) for i, (score, _) in enumerate(scores)]),
        human=write("h.jsonl", [meant(f"item{i}", [score]) for i, (_, score) in enumerate(scores)]),
        output=tmp_path,
        worst=2,
    )
    text = Page(summary.html_file.read_text()).text
    assert re.findall(r"People (\S+), critic (\S+) (\S+) too (\w+)\. (item\d)", text) == [
        ("5", "1", "4", "low", "item0"),
        ("1", "3", "2", "high", "item2"),
    ]
    # People 1: one 3. People 2: one 2. People 5: a 1 and a 4.
    assert "people \\ critic 1 2 3 4 5 1 0 0 1 0 0 2 0 1 0 0 0 3 0 0 0 0 0 4 0 0 0 0 0 5 1 0 0 1 0" in text


def test_worst_cases_on_another_scale_go_by_place_in_the_order(write: Write, tmp_path: Path):
    pairs = [(0.9, 1), (0.1, 2), (0.2, 3), (0.3, 4)]
    summary = agreement_report(
        predictions=write("p.jsonl", [said(str(i), score) for i, (score, _) in enumerate(pairs)]),
        human=write("h.jsonl", [meant(str(i), score) for i, (_, score) in enumerate(pairs)]),
        output=tmp_path,
        worst=1,
    )
    text = Page(summary.html_file.read_text()).text
    assert "People 1, critic 0.9 ranked above 100% by the critic, above 0% by people. 0" in text
    assert (
        "Predictions run from 0.1 to 0.9, which is not the human scale 1 to 5: only figures of order are given." in text
    )


def test_another_scale_can_be_shared(write: Write, tmp_path: Path):
    files = {
        "predictions": write("p.jsonl", [said("a", 0), said("b", 9, expected_score=9.5)]),
        "human": write("h.jsonl", [meant("a", 2), meant("b", 10)]),
    }
    found = json.loads(agreement_report(**files, output=tmp_path, scale=(0, 10)).json_file.read_text())
    task = found["tasks"]["alignment"]
    assert (task["overall"]["mae"], task["overall"]["mae_at_10"], task["overall"]["mae_at_0"]) == (1.5, 1, None)
    assert (task["expected_score"]["mae"], task["expected_score"]["n"]) == (0.5, 1)
    found = json.loads(agreement_report(**files, output=tmp_path, scale=(0, 100)).json_file.read_text())
    assert "mae_at_10" not in found["tasks"]["alignment"]["overall"]


def test_nothing_readable_still_gives_a_report(write: Write, tmp_path: Path):
    summary = agreement_report(
        predictions=write("p.jsonl", [said("a", None), said("b", None)]),
        human=write("h.jsonl", [meant("a", 1), meant("b", 2)]),
        output=tmp_path,
    )
    found = json.loads(summary.json_file.read_text())["tasks"]["alignment"]["overall"]
    assert {name: value for name, value in found.items() if value is not None} == {
        "n": 2,
        "unreadable_rate": 1.0,
        "intervals_95": {"unreadable_rate": [1.0, 1.0]},
    }
    assert "Answers that could not be read (2)" in Page(summary.html_file.read_text()).text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": (5, 1)}, "scale is 5 to 1; give the lowest score first, then a higher one."),
        ({"resamples": -1}, "resamples is -1; give 0 or more."),
        ({"worst": -1}, "worst is -1; give 0 or more."),
    ],
)
def test_settings_out_of_range_are_refused(write: Write, tmp_path: Path, settings: dict, message: str):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        agreement_report(**edit_files(write), output=tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_output_must_be_a_folder(write: Write, tmp_path: Path):
    files = edit_files(write)
    message = f"output {files['human']} is a file; name a folder."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        agreement_report(**files, output=files["human"])
