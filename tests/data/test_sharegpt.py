from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firm_lightning.curation.set_files import write_layouts
from firm_lightning.data.parquet_set import ParquetSet
from firm_lightning.data.parquet_writer import ParquetWriter
from firm_lightning.data.records import BadRecord
from firm_lightning.data.sharegpt import ShareGPT, ShareGPTWriter
from firm_lightning.types import CuratedRecord, ImageRef, Judgement
from tests.data.samples import make_folder, picture_bytes

QUESTION = "<image><image>Was it done?\nInstruction: Paint it red.\n"


def _chat(score: object = 4, **changes: Any) -> dict[str, Any]:
    answer = json.dumps({"reasoning": "Mostly red.", "score": [score]})
    turns = [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": answer}]
    return {"conversations": turns, "images": ["images/a.png", "images/b.png"]} | changes


def _file(folder: Path, chats: list[Any], name: str) -> Path:
    path = make_folder(folder, [])
    path = folder / name
    path.write_text(json.dumps(chats, indent=1) if name.endswith(".json") else "\n".join(map(json.dumps, chats)))
    return path


@pytest.mark.parametrize(("name", "origins"), [("x.json", ("#0", "#1")), ("x.jsonl", (":1", ":2"))])
def test_list_and_lines_read_alike(tmp_path: Path, name: str, origins: tuple[str, str]) -> None:
    role = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "So so.\n\\boxed{3}"}]
    second = {"messages": role, "images": ["images/a.png"], "id": "own", "task": "alignment", "prompt": "P"}
    reader = ShareGPT(path=_file(tmp_path, [_chat(), second], name), task="execution", prompt_pattern=r": (.*)\n")
    first = reader[0]
    assert first == Judgement(
        id=f"{name}{origins[0]}",
        task="execution",
        images=(ImageRef("images/a.png", root=tmp_path), ImageRef("images/b.png", root=tmp_path)),
        prompt="Paint it red.",
        score_1to5=4,
        reasoning="Mostly red.",
        question=QUESTION,
        answer='{"reasoning": "Mostly red.", "score": [4]}',
        origin=f"{tmp_path}/{name}{origins[0]}",
    )
    second_read = reader[1]
    assert (second_read.id, second_read.task, second_read.prompt) == ("own", "alignment", "P")
    assert (second_read.score_1to5, second_read.reasoning) == (3, "So so.")
    assert len(reader.lengths()) == 2


def test_without_a_pattern_the_question_is_the_prompt(tmp_path: Path) -> None:
    assert ShareGPT(path=_file(tmp_path, [_chat()], "x.json"), task="execution")[0].prompt == QUESTION


def test_a_file_that_mixes_tasks(tmp_path: Path) -> None:
    other = _chat(conversations=[{"from": "human", "value": "What else?"}, {"from": "gpt", "value": "\\boxed{1}"}])
    path = _file(tmp_path, [_chat(), other], "x.jsonl")
    patterns: Any = {"execution": "Was it done", "consistency": "What else"}
    assert [judgement.task for judgement in ShareGPT(path=path, task_patterns=patterns)] == ["execution", "consistency"]
    with pytest.raises(BadRecord) as caught:
        len(ShareGPT(path=path))
    assert str(caught.value) == f"{path}:1: the record does not say its task. Set `task` or `task_patterns`."


def test_bad_records_are_skipped_counted_and_listed(tmp_path: Path) -> None:
    marks = _chat(images=["images/a.png"])
    silent = _chat(conversations=[{"from": "human", "value": QUESTION}])
    chats = [_chat(), _chat(score=6), marks, "text", silent, _chat(images=None), _chat(score="x"), _chat(score=1)]
    path = _file(tmp_path, chats, "x.json")
    reader = ShareGPT(path=path, task="execution", on_bad_record="skip")
    assert [judgement.score_1to5 for judgement in reader] == [4, 1]
    label = "Set `labelled: false` to read records that are still to be judged."
    assert [str(error).removeprefix(str(path)) for error in reader.issues.skipped][1:5] == [
        "#2: the question has 2 <image> marks for 1 pictures.",
        "#3: a record must be an object with 'messages' or 'conversations' and 'images'.",
        f"#4: 'score' is missing. {label}",
        "#5: 'images' must be a list of relative paths, found null.",
    ]
    outside = "#1: no score can be read from the answer (score 6 is outside 1..5)."
    assert str(reader.issues.skipped[0]).removeprefix(str(path)) == outside
    assert len(reader.issues) == 6


def test_unjudged_chats(tmp_path: Path) -> None:
    silent = _chat(conversations=[{"from": "human", "value": QUESTION}])
    reader = ShareGPT(path=_file(tmp_path, [silent, _chat()], "x.json"), task="execution", labelled=False)
    assert [judgement.score_1to5 for judgement in reader] == [None, 4]


def test_pictures_may_lie_elsewhere(tmp_path: Path) -> None:
    make_folder(tmp_path / "media", [])
    path = tmp_path / "x.json"
    path.write_text(json.dumps([_chat()]))
    reader = ShareGPT(path=path, task="execution", image_root=tmp_path / "media", check_pictures=True)
    assert reader[0].images[0].root == tmp_path / "media"


class _Boxed:
    def write(self, reasoning: str, score_1to5: int) -> str:
        return f"{reasoning}\n\\boxed{{{score_1to5}}}"


def test_the_writer_fills_in_question_and_answer(tmp_path: Path) -> None:
    (tmp_path / "rubric.txt").write_text('Judge "{prompt}" as {"score": [n]}.')
    image = ImageRef("x.png", data=picture_bytes())
    judgement = Judgement("1", "alignment", (image,), "a cat", 2, "No cat.", origin="o:1")
    writer = ShareGPTWriter(rubrics={"alignment": tmp_path / "rubric.txt"}, answer_format=_Boxed())
    (tmp_path / "out").mkdir()
    assert writer.write([judgement], tmp_path / "out") == 1
    record = json.loads((tmp_path / "out/sharegpt.jsonl").read_text())
    assert record["messages"] == [
        {"role": "user", "content": '<image>Judge "a cat" as {"score": [n]}.'},
        {"role": "assistant", "content": "No cat.\n\\boxed{2}"},
    ]
    assert (tmp_path / "out" / record["images"][0]).read_bytes() == image.data
    with pytest.raises(BadRecord) as caught:
        ShareGPTWriter().write([judgement], tmp_path / "out")
    expected = (
        "o:1: the record has no question and task 'alignment' no rubric. Give a rubric file for this task in `rubrics`."
    )
    assert str(caught.value) == expected
    with pytest.raises(BadRecord) as caught:
        ShareGPTWriter(rubrics={"alignment": tmp_path / "rubric.txt"}).write([judgement], tmp_path / "out")
    assert str(caught.value) == "o:1: the record has no answer. Give an `answer_format` that writes one."
    (tmp_path / "empty.txt").write_text("Judge.")
    with pytest.raises(BadRecord) as caught:
        ShareGPTWriter(rubrics={"quality": tmp_path / "empty.txt"}).write([judgement], tmp_path / "out")
    message = "the rubric has no place for the prompt. Write {prompt} where the prompt belongs."
    assert str(caught.value) == f"{tmp_path}/empty.txt: {message}"


def _edit(name: str, **changes: Any) -> Judgement:
    images = tuple(ImageRef(f"{number}.png", data=picture_bytes((number, 0, 0))) for number in range(2))
    base = Judgement(name, "execution", images, "Replace the <image> tag.", 1, "The <image> tag stays.", origin="o:1")
    return replace(base, **changes)


def _written(folder: Path, judgement: Judgement) -> list[str]:
    (folder / "rubric.txt").write_text("Was it done?\n{prompt}\n")
    (folder / "out").mkdir()
    writer = ShareGPTWriter(rubrics={"execution": folder / "rubric.txt"}, answer_format=_Boxed())
    writer.write([judgement], folder / "out")
    record = json.loads((folder / "out/sharegpt.jsonl").read_text())
    return [turn["content"] for turn in record["messages"]]


def test_a_mark_in_a_prompt_or_an_answer_is_no_picture(tmp_path: Path) -> None:
    question, answer = _written(tmp_path, _edit("a"))
    assert question == "<image><image>Was it done?\nReplace the < image > tag.\n"
    assert answer == "The < image > tag stays.\n\\boxed{1}"
    read = ShareGPT(path=tmp_path / "out/sharegpt.jsonl")[0]
    assert (read.prompt, read.score_1to5) == ("Replace the <image> tag.", 1)
    assert (read.question, read.reasoning) == (question, "The < image > tag stays.")


def test_a_verbatim_question_keeps_its_marks_and_needs_the_right_number(tmp_path: Path) -> None:
    own = _edit("b", question="Before: <image> After: <image>", answer="See <video>.\n\\boxed{1}")
    assert _written(tmp_path, own) == ["Before: <image> After: <image>", "See < video >.\n\\boxed{1}"]
    (tmp_path / "again").mkdir()
    with pytest.raises(BadRecord) as caught:
        _written(tmp_path / "again", _edit("c", question="What of the <image> tag?"))
    assert str(caught.value) == "o:1 (record 'c'): the question has 1 <image> marks for 2 pictures."


def test_splits_share_one_folder_that_llama_factory_can_load(tmp_path: Path) -> None:
    splits = {"a": "train", "b": "val", "c": "train"}
    records = [CuratedRecord(_edit(name, question="Was it done?", answer="\\boxed{1}"), {}) for name in splits]
    layouts = {"sharegpt": ShareGPTWriter(), "parquet": ParquetWriter()}
    write_layouts(records, splits, tmp_path, layouts)
    root = tmp_path / "sharegpt"
    assert sorted(path.name for path in root.iterdir()) == ["dataset_info.json", "images", "train.jsonl", "val.jsonl"]
    described = json.loads((root / "dataset_info.json").read_text())
    assert list(described) == ["train", "val"]
    assert described["val"] == {
        "file_name": "val.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
    }
    for split, ids in (("train", ["a", "c"]), ("val", ["b"])):
        lines = [json.loads(line) for line in (root / f"{split}.jsonl").read_text().splitlines()]
        assert all((root / name).is_file() for line in lines for name in line["images"])
        assert [turn["role"] for turn in lines[0]["messages"]] == ["user", "assistant"]
        reader = ShareGPT(path=root / f"{split}.jsonl", check_pictures=True)
        assert [judgement.id for judgement in reader] == ids
        assert [judgement.id for judgement in ParquetSet(path=tmp_path / "parquet" / split)] == ids
