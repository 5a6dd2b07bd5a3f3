from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from firm_lightning.report.demo_page import DemoResults, learnt_view, write_demo_page
from firm_lightning.report.run_page import run_report
from tests.report.html_page import Page
from tests.report.pages import assert_pages_fit, needs_chromium
from tests.report.run_world import critic_folder, drawn_folder, run_folder


def page_of(run: Path, **settings: Path) -> Page:
    return Page(run_report(run, **settings).read_text(encoding="utf-8"))


def middle_reds(page: Page) -> list[int]:
    """The red of each embedded picture."""
    pictures = [
        Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB") for source in page.sources
    ]
    return [picture.getpixel((5, 5))[0] for picture in pictures]  # type: ignore[index]


def test_the_page_stands_in_the_run_folder_and_needs_nothing_else(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    assert run_report(run) == run / "report" / "index.html"
    page = page_of(run)
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not page.tags & {"script", "link", "iframe", "object"}
    assert run_report(run, output=tmp_path / "out") == tmp_path / "out" / "index.html"


def test_it_tells_what_was_trained_and_how_to_repeat_it(tmp_path: Path) -> None:
    page = page_of(run_folder(tmp_path))
    assert "rl DiffusionRL, seed 3, 2 rounds, 16 steps, 1 start" in page.text
    # Without the checkpoint that the last start went on from.
    assert "python train.py fit --config conf/scenes/rl_gen.yaml --trainer.max_epochs 2 It begins anew" in page.text
    assert "torch 2.14.1" in page.text and "processor a processor" in page.text
    assert "model.init_args.prompts.path sha256:ab" in page.text
    assert "Resolved config (4 lines) seed_everything: 3" in page.text


def test_results_before_and_after(tmp_path: Path) -> None:
    page = page_of(run_folder(tmp_path))
    assert "before after pictures 2 2 reward 0.250 0.750 truth alignment 0.500 0.500 truth exact - -" in page.text
    assert "share blank 12.5% 12.5%" in page.text
    assert "Pictures before and after, from the same noise prompt <0> before after" in page.text
    assert middle_reds(page) == [10, 250, 10, 250]


def test_another_folder_of_before_and_sources(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    before = drawn_folder(tmp_path / "start", red=100, reward=0.5, prompts=1)
    assert middle_reds(page_of(run, before=before)) == [100, 250]
    (tmp_path / "rl_before" / "test" / "pictures.jsonl").rename(tmp_path / "gone")
    alone = tmp_path / "edit"
    drawn_folder(alone / "test", red=77, reward=0.5, prompts=11, source=True)
    page = page_of(alone)
    assert middle_reds(page) == [0, 77] * 11
    assert "2 more prompts" in page.text, "the first nine are shown"
    (alone / "test" / "pictures" / "0.png").write_bytes(b"no picture")
    assert "result: no picture, 'pictures/0.png' is not a picture, or its head is damaged" in page_of(alone).text


def test_warnings(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    warning = "Round 1: watch/blank_share 0.50 is above its limit 0.25: look at the pictures"
    assert f"1 warning of the watch-dogs {warning}" in page_of(run).text
    (run / "warnings.json").write_text("[]")
    assert "The watch-dogs warned of nothing." in page_of(run).text
    (run / "warnings.json").unlink()
    assert "watch-dogs" not in page_of(run).text, "where nobody kept a record, nothing is known"


def test_a_tested_critic(tmp_path: Path) -> None:
    page = page_of(critic_folder(tmp_path))
    figures = "600 0.12 90.0% 100.0% - 87.5% -0.05 0.0% 1.25"
    assert f"alignment {figures} quality {figures}" in page.text
    assert "not trained here" in page.text


def test_a_damaged_part_costs_no_other(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    (run / "epoch=1.ckpt").write_bytes(b"x")
    (run / "test" / "evaluation.json").write_text("{")
    metrics = run / "metrics" / "version_0" / "metrics.csv"
    metrics.write_text(metrics.read_text() + "0,x,1,1,1,1\n")
    page = page_of(run)
    assert "This page is not whole" in page.text and "metrics.csv:4: left out, no row of logged numbers" in page.text
    assert "last.ckpt: cannot be read as a checkpoint" in page.text
    assert "evaluation.json cannot be read (JSONDecodeError" in page.text
    assert "reward 0.250" in page.text, "what was measured before is still there"
    assert f"python train.py fit --config {run / 'config_fit.yaml'}" in page.text


def test_pictures_that_cannot_be_read_cost_no_other_part(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    before = tmp_path / "rl_before" / "test" / "pictures.jsonl"
    before.write_text(before.read_text()[:-5])
    page = page_of(run)
    assert "No pictures before and after: " in page.text and "pictures.jsonl:2" in page.text
    assert middle_reds(page) == [250, 250], "those of the result alone"
    (run / "test" / "pictures.jsonl").write_text("{")
    assert "No pictures: " in page_of(run).text
    with pytest.raises(ValueError, match=r"pictures\.jsonl:2"):
        page_of(run, before=tmp_path / "rl_before" / "test")  # asked for by name


def test_a_config_that_is_no_yaml_is_shown_as_it_is(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    (run / "last.ckpt").unlink()
    (run / "config_fit.yaml").write_text("model: [")
    page = page_of(run)
    assert "Resolved config (1 lines) model: [" in page.text and "rl 2 rounds, 16 steps, 1 start" in page.text


def test_without_a_record_the_config_file_repeats_it(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    torch.save({"state_dict": {}}, run / "epoch=1.ckpt")
    assert f"python train.py fit --config {run / 'config_fit.yaml'}" in page_of(run).text


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    message = f"{tmp_path}: no run folder (no metrics, no config_*.yaml, no test); give checkpoints/<run_name>"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        run_report(tmp_path)


def test_names_are_text_not_markup(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    event = {"round": 0, "figure": "<b>x</b>", "problem": "y"}
    (run / "warnings.json").write_text(json.dumps([event]))
    page = page_of(run)
    assert "Round 0: <b>x</b> y" in page.text and "b" not in page.tags


def demo_results(root: Path) -> DemoResults:
    run = run_folder(root)
    report = critic_folder(root) / "test" / "report.json"
    return DemoResults(
        title="The demo",
        about="Critics & policies.",
        seconds_total=125.0,
        seconds={"fit --config conf/scenes/rl_gen.yaml": 61.0},
        reports={"critic.gen.alignment": (report, "alignment"), "critic.gen.quality": (report, "quality")},
        learnt={"rl.truth_before": 0.4, "rl.truth_after": 0.525, "rl.damaged_after": None, "other": 2.0},
        tested=[(root / "rl_before" / "test", run / "test")],
    )


def test_the_demo_ends_with_one_page(tmp_path: Path) -> None:
    file = write_demo_page(demo_results(tmp_path), tmp_path / "demo")
    assert file == tmp_path / "demo" / "index.html"
    page = Page(file.read_text(encoding="utf-8"))
    assert "The demo Critics & policies." in page.text
    assert "minutes 2 commands 1 critics tested 1 policies taught 1" in page.text
    assert "rl.truth 0.400 0.525 +0.125 rl.damaged - - - other - 2.000 -" in page.text
    assert "critic.gen.alignment 600 0.12" in page.text and "critic.gen.quality 600 0.12" in page.text
    assert "Run rl DiffusionRL, seed 3" in page.text and "1 warning of the watch-dogs" in page.text
    assert {source for source in page.sources if not source.startswith("data:")} == {
        "#learnt",
        "#agreement",
        "#rl",
        "#commands",
    }
    assert "fit --config conf/scenes/rl_gen.yaml 61" in page.text


def test_of_nothing_there_is_no_table() -> None:
    assert learnt_view({}) is None


@needs_chromium
def test_the_pages_fit_a_desktop_and_a_telephone(tmp_path: Path) -> None:
    run, critic = run_folder(tmp_path / "a"), critic_folder(tmp_path / "b")
    demo = write_demo_page(demo_results(tmp_path / "c"), tmp_path / "demo")
    assert_pages_fit([run_report(run), run_report(critic), demo])
