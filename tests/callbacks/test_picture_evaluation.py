from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from firm_lightning.callbacks.picture_evaluation import WriteEvaluation, evaluation_summary, looks_of, record_of
from firm_lightning.data.picture_records import read_picture_records
from firm_lightning.metrics.picture_faults import FaultLimits, PictureLook
from firm_lightning.modules.evaluation import picture_seed
from firm_lightning.types import Prompt
from tests.callbacks.fake_drawing import (
    Easel,
    colour,
    drawn,
    module_that_draws,
    prompt_file,
    source_of,
    trainer_in,
)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_test_run_leaves_records_pictures_means_and_a_sheet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    easel = Easel(
        rewards={"p0": 0.25, "p1": None, "p2": 1.0}, truth={"p0": 0.5, "p1": 1.0, "p2": float("nan")}, side_px=16
    )
    module = module_that_draws(prompt_file(tmp_path, 3), easel, pictures_per_prompt=2, seed=3)
    trainer_in(tmp_path / "run", WriteEvaluation()).test(module, verbose=False)
    folder = tmp_path / "run" / "test"
    records = lines(folder / "pictures.jsonl")
    assert [(r["id"], r["number"]) for r in records] == [(f"p{p}", n) for p in range(3) for n in range(2)]
    assert records[0] == {
        "id": "p0",
        "prompt": "picture number 0",
        "number": 0,
        "seed": picture_seed(3, "p0", 0),
        "reward": 0.25,
        "critic": {"alignment": 0.25},
        "truth": {"met": 0.5},
        "look": {"change": None, "spread": pytest.approx(0.0, abs=1e-9), "clipped": 0.0},
        "picture": "pictures/p0-0.png",
        "source": None,
    }
    assert (records[2]["reward"], records[2]["critic"], records[2]["truth"]) == (None, {"alignment": None}, {"met": 1})
    assert records[4]["truth"] == {"met": None}
    with Image.open(folder / records[5]["picture"]) as picture:
        assert picture.getpixel((0, 0)) == colour(picture_seed(3, "p2", 1))
    summary = json.loads((folder / "evaluation.json").read_text())
    assert summary == {
        "prompts": 3,
        "pictures": 6,
        "means": {
            "reward": {"mean": 0.625, "pictures": 4},
            "critic/alignment": {"mean": 0.625, "pictures": 4},
            "truth/met": {"mean": 0.75, "pictures": 4},
        },
        "shares": {
            "unreadable": {"share": pytest.approx(1 / 3), "pictures": 6},
            "blank": {"share": 1.0, "pictures": 6},
            "saturated": {"share": 0.0, "pictures": 6},
        },
        "checkpoint": None,
        "weights": "ema",
        "seed": 3,
        "sampler": "FlowEuler",
        "steps": 4,
        "guidance_scale": 1.0,
    }
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.width > 400
    assert not list(folder.glob("*.part"))
    said = capsys.readouterr().out
    assert f"{folder / 'evaluation.json'}\n{folder / 'sheet.png'}\n" in said


def test_edits_are_held_against_their_source_and_shown_beside_it(tmp_path: Path) -> None:
    Image.new("RGB", (600, 300), (255, 255, 255)).save(tmp_path / "cat.png")
    prompts = prompt_file(tmp_path, 1, image="cat.png")
    module = module_that_draws(prompts, Easel(), pictures_per_prompt=2)
    trainer_in(tmp_path, WriteEvaluation(folder="after")).test(module, verbose=False)
    record = read_picture_records(tmp_path / "after")[1]
    red, green, blue = colour(picture_seed(0, "p0", 1))
    expected = (3 * 255 - red - green - blue) / 3 / 255
    assert record.look["change"] == pytest.approx(expected, abs=1e-6)
    assert record.source == "sources/p0.png"
    with Image.open(tmp_path / "after" / "sources" / "p0.png") as source:
        assert source.size == (512, 256)
    with Image.open(tmp_path / "after" / "sheet.png") as sheet:
        assert sheet.width == 2 * 24 + 3 * 256 + 2 * 10 + 2 * 14  # source and both pictures
    summary = json.loads((tmp_path / "after" / "evaluation.json").read_text())
    assert summary["shares"]["copy"] == {"share": 0.0, "pictures": 2}


def test_several_processes_write_parts_that_the_first_joins(tmp_path: Path) -> None:
    """Each process has every second prompt; the second one has p0 again, to even them out."""
    prompts = prompt_file(tmp_path, 3)
    easel = Easel(rewards={f"p{number}": number / 4 for number in range(3)})
    module = module_that_draws(prompts, easel)
    items = module.evaluation.to_draw()  # type: ignore[union-attr]
    writers = []
    again = replace(items[0], repeated=True)
    for rank, batch in ((0, [items[0], items[2]]), (1, [items[1], again])):
        run: Any = SimpleNamespace(
            default_root_dir=str(tmp_path),
            global_rank=rank,
            world_size=2,
            is_global_zero=rank == 0,
            ckpt_path=None,
            strategy=SimpleNamespace(barrier=lambda: None),
        )
        writer = WriteEvaluation()
        writer.on_test_start(run, module)
        easel.rewards = {f"p{number}": number / 4 + rank for number in range(3)}
        writer.on_test_batch_end(run, module, module.predict_step(batch, 0), batch, 0)
        writers.append((writer, run))
    for writer, run in writers:
        writer.on_test_end(run, module)
    records = lines(tmp_path / "test" / "pictures.jsonl")
    assert [(r["id"], r["reward"]) for r in records] == [("p0", 0.0), ("p1", 1.25), ("p2", 0.5)]
    summary = json.loads((tmp_path / "test" / "evaluation.json").read_text())
    assert summary["means"]["reward"] == {"mean": 1.75 / 3, "pictures": 3}
    assert not list((tmp_path / "test").glob("*.part"))


def test_the_record_of_a_picture_without_a_critic() -> None:
    record = record_of(drawn([Image.new("RGB", (4, 4))], prompts=[Prompt("a/b", "x")]), 0, number=7)
    assert (record.reward, record.critic, record.truth) == (None, {}, {})
    assert record.picture == "pictures/a%2Fb-7.png"


def test_looks_compare_each_picture_with_its_own_source(tmp_path: Path) -> None:
    dark, light = Image.new("RGB", (8, 8), (0, 0, 0)), Image.new("RGB", (8, 8), (51, 51, 51))
    first = Prompt("a", "x", source=source_of(tmp_path, dark, "a.png"))
    second = Prompt("b", "x", source=source_of(tmp_path, light, "b.png"))
    pictures = drawn([light, dark, dark, light], prompts=[first, first, second, Prompt("c", "x")])
    changes = [look.change for look in looks_of(pictures.rollouts)]
    assert changes[3] is None
    assert np.allclose([change for change in changes[:3] if change is not None], [0.2, 0.0, 0.2])


def test_shares_of_nothing_are_left_out() -> None:
    assert evaluation_summary([], FaultLimits()) == {"prompts": 0, "pictures": 0, "means": {}, "shares": {}}


def test_limits_come_from_the_config(tmp_path: Path) -> None:
    writer = WriteEvaluation(limits=FaultLimits(blank_spread=0.0))
    assert writer.limits.counts([PictureLook(None, 0.01, 0.0)])["blank"] == (0, 1)


def test_a_module_without_an_evaluation_is_refused(tmp_path: Path) -> None:
    module = module_that_draws(prompt_file(tmp_path, 1), Easel())
    loader = module.evaluation.loader(module.evaluation.to_draw())  # type: ignore[union-attr]
    module.evaluation = None
    with pytest.raises(
        ValueError, match=r"^WriteEvaluation needs pictures to be drawn: set model\.init_args\.evaluation$"
    ):
        trainer_in(tmp_path, WriteEvaluation()).test(module, loader, verbose=False)
