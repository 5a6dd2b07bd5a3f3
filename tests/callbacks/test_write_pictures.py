from __future__ import annotations

import json
import re
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
from PIL import Image

from firm_lightning.callbacks.write_pictures import WritePictures
from firm_lightning.data.picture_layouts import DPGBench, GEditBench, GenEval, PictureLayout, Plain
from firm_lightning.data.prompts import PromptFile
from firm_lightning.modules.evaluation import ToDraw, picture_seed
from tests.callbacks.fake_drawing import Easel, colour, module_that_draws, prompt_file, trainer_in


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def predict(folder: Path, prompts: PromptFile, layout: PictureLayout, **settings: object) -> Easel:
    easel = Easel()
    trainer = trainer_in(folder, WritePictures(layout=layout))
    trainer.predict(module_that_draws(prompts, easel, **settings), return_predictions=False)
    return easel


def test_writes_every_picture_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    easel = predict(tmp_path / "run", prompt_file(tmp_path, 3), Plain(), pictures_per_prompt=2, seed=5)
    folder = tmp_path / "run" / "predict"
    pictures = [f"p{prompt}-{number}.png" for prompt in range(3) for number in range(2)]
    assert files_in(folder) == ["drawn_with.json", *pictures, "prompts.jsonl"]
    assert easel.drawn_ids == ["p0", "p0", "p1", "p1", "p2", "p2"]
    with Image.open(folder / "p1-1.png") as picture:
        assert picture.getpixel((3, 3)) == colour(picture_seed(5, "p1", 1))
    said = capsys.readouterr().out
    assert f"pictures go to {folder}: 0 are there, 6 to draw\n" in said
    assert f"6 of 6 pictures are in {folder}\n" in said


def test_draws_only_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = prompt_file(tmp_path, 4)
    predict(tmp_path, prompts, Plain())
    folder = tmp_path / "predict"
    (folder / "p2-0.png").unlink()
    (folder / "p3-0.png").write_bytes(b"")  # what a machine that lost its power leaves
    kept = (folder / "p0-0.png").stat().st_mtime_ns
    capsys.readouterr()
    assert predict(tmp_path, prompts, Plain()).drawn_ids == ["p2", "p3"]
    assert (folder / "p0-0.png").stat().st_mtime_ns == kept
    assert f"pictures go to {folder}: 2 are there, 2 to draw\n" in capsys.readouterr().out
    assert predict(tmp_path, prompts, Plain()).drawn_ids == []
    assert predict(tmp_path, prompts, Plain(), pictures_per_prompt=2).drawn_ids == ["p0", "p1", "p2", "p3"]


def test_an_interrupted_run_leaves_whole_pictures(tmp_path: Path) -> None:
    class Stop(pl.Callback):
        def on_predict_batch_start(self, trainer: pl.Trainer, module: object, batch: object, idx: int, *_: int) -> None:
            if idx == 1:
                raise RuntimeError("the machine is taken away")

    prompts = prompt_file(tmp_path, 6)
    trainer = trainer_in(tmp_path, WritePictures(layout=Plain()), Stop())
    with pytest.raises(RuntimeError, match="taken away"):
        trainer.predict(module_that_draws(prompts, Easel()), return_predictions=False)
    assert files_in(tmp_path / "predict") == ["drawn_with.json", "p0-0.png", "p1-0.png", "prompts.jsonl"]
    assert predict(tmp_path, prompts, Plain()).drawn_ids == ["p2", "p3", "p4", "p5"]


def test_pictures_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    prompts = prompt_file(tmp_path, 2)
    predict(tmp_path, prompts, Plain(), seed=1)
    message = (
        f"{tmp_path / 'predict'} holds pictures that were drawn otherwise (weights 'ema' and now 'reference', seed 1 "
        "and now 2): set another folder for WritePictures, or remove this one"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        predict(tmp_path, prompts, Plain(), seed=2, weights="reference")


def test_pictures_of_another_checkpoint_are_not_mixed(tmp_path: Path) -> None:
    prompts = prompt_file(tmp_path, 1)
    for seed, expected in ((1, None), (2, "holds pictures that were drawn otherwise")):
        trainer = trainer_in(tmp_path, WritePictures(layout=Plain()))
        module = module_that_draws(prompts, Easel())
        writer = trainer.callbacks[0]  # type: ignore[attr-defined]
        checkpoint = tmp_path / "last.ckpt"
        checkpoint.write_bytes(b"x" * seed)
        trainer.ckpt_path = str(checkpoint)
        if expected is None:
            writer.setup(trainer, module, "predict")
            note = json.loads((tmp_path / "predict" / "drawn_with.json").read_text())
            assert (note["checkpoint"], note["bytes"], note["steps"]) == (str(checkpoint), 1, 4)
        else:
            with pytest.raises(ValueError, match=expected + r" \(bytes 1 and now 2, written_ns "):
                writer.setup(trainer, module, "predict")


def test_geneval_folders(tmp_path: Path) -> None:
    prompts = prompt_file(tmp_path, 2, tag="colors", include=[{"class": "dog", "count": 1}])
    predict(tmp_path, prompts, GenEval(), pictures_per_prompt=2)
    assert files_in(tmp_path / "predict") == [
        "00000/metadata.jsonl",
        "00000/samples/0000.png",
        "00000/samples/0001.png",
        "00001/metadata.jsonl",
        "00001/samples/0000.png",
        "00001/samples/0001.png",
        "drawn_with.json",
    ]


def test_dpg_squares_are_put_together_and_renewed(tmp_path: Path) -> None:
    prompts = prompt_file(tmp_path, 1)
    predict(tmp_path, prompts, DPGBench(model="toy"), pictures_per_prompt=4)
    folder = tmp_path / "predict"
    cells = [f"cells/p0/{number}.png" for number in range(4)]
    assert files_in(folder) == [*cells, "drawn_with.json", "toy/p0.png"]
    colours = [colour(picture_seed(0, "p0", number)) for number in range(4)]
    with Image.open(folder / "toy" / "p0.png") as grid:
        assert grid.size == (16, 16)
        assert [grid.getpixel(xy) for xy in ((0, 0), (15, 0), (0, 15), (15, 15))] == colours
    Image.new("RGB", (8, 8), (1, 2, 3)).save(folder / cells[1])
    predict(tmp_path, prompts, DPGBench(model="toy"), pictures_per_prompt=4)
    with Image.open(folder / "toy" / "p0.png") as grid:
        assert grid.getpixel((15, 0)) == (1, 2, 3)


def test_a_square_of_too_few_pictures_is_refused(tmp_path: Path) -> None:
    message = "DPGBench puts 4 pictures of a prompt together, but evaluation.pictures_per_prompt is 2: set it to 4"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        predict(tmp_path, prompt_file(tmp_path, 1), DPGBench(), pictures_per_prompt=2)


def test_sources_lie_beside_the_edits_where_the_layout_wants_them(tmp_path: Path) -> None:
    Image.new("RGB", (5, 5), (9, 8, 7)).save(tmp_path / "cat.png")
    prompts = prompt_file(tmp_path, 1, image="cat.png", task_type="style", instruction_language="en", key="k1")
    predict(tmp_path, prompts, GEditBench(model="toy"))
    folder = tmp_path / "predict"
    assert files_in(folder) == [
        "drawn_with.json",
        "toy/fullset/style/en/k1.png",
        "toy/fullset/style/en/k1_SRCIMG.png",
    ]
    with Image.open(folder / "toy/fullset/style/en/k1_SRCIMG.png") as source:
        assert np.asarray(source).tolist() == np.full((5, 5, 3), (9, 8, 7)).tolist()


def test_a_module_without_an_evaluation_is_refused(tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path, WritePictures(layout=Plain()))
    module = module_that_draws(prompt_file(tmp_path, 1), Easel())
    module.evaluation = None
    with pytest.raises(
        ValueError, match=r"^WritePictures needs pictures to be drawn: set model\.init_args\.evaluation$"
    ):
        trainer.predict(module)


def test_no_process_is_left_without_a_picture(tmp_path: Path) -> None:
    """Lightning cannot split one picture into two processes, so one that is there is drawn again."""

    class Knows(pl.Callback):
        def __init__(self, *ids: str) -> None:
            self.ids = ids

        def is_done(self, item: ToDraw) -> bool:
            return item.prompt.id in self.ids

    evaluation = module_that_draws(prompt_file(tmp_path, 4), Easel()).evaluation
    assert evaluation is not None
    callbacks = [Knows("p0", "p1"), pl.Callback(), Knows("p3")]

    def left(processes: int, known: list[pl.Callback]) -> list[str]:
        return [item.prompt.id for item in evaluation.left_to_draw(known, processes=processes)]

    assert left(1, callbacks) == ["p2"]
    assert left(3, callbacks) == ["p2", "p0", "p1"]
    assert left(3, [Knows("p0", "p1", "p2", "p3")]) == []
    assert left(1, []) == ["p0", "p1", "p2", "p3"]
