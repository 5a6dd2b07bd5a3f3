"""Prompt files of every layout, and every way in which they can be bad."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from firm_lightning.data.prompts import PromptFile
from firm_lightning.data.records import BadRecord
from firm_lightning.types import ImageRef, Prompt
from tests.data.samples import picture_bytes

OUTSIDE = "Write paths relative to that folder, without '..' or links that leave it."
UTF8 = "Save the file as UTF-8."
EMPTY = "the prompt is empty. Write what is to be drawn, or remove the line."


def write(folder: Path, name: str, content: str | bytes | list[Any]) -> Path:
    """A file of text, bytes, or records (one a line; text entries stand as they are)."""
    path = folder / name
    if isinstance(content, list):
        content = "".join((entry if isinstance(entry, str) else json.dumps(entry)) + "\n" for entry in content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def edits(tmp_path: Path) -> Path:
    """An editing folder with two pictures, 6 x 6 and 9 x 9."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(picture_bytes((10, 20, 30)))
    (tmp_path / "images" / "b.png").write_bytes(picture_bytes((90, 20, 30), side=9))
    return tmp_path


def message(path: Path, **setting: Any) -> str:
    with pytest.raises(BadRecord) as caught:
        PromptFile(path=path, **setting).prompts()
    return str(caught.value)


def skipped(path: Path, **setting: Any) -> tuple[list[str], list[str]]:
    """Ids that are kept and messages about the others."""
    file = PromptFile(path=path, on_bad_record="skip", **setting)
    return [prompt.id for prompt in file.prompts()], [str(error) for error in file.issues.skipped]


@pytest.mark.parametrize("content", ["a cat\n two dogs \n\n \n", "\ufeffa cat\r\ntwo dogs\r\n", "a cat\ntwo dogs"])
def test_a_text_file_has_a_prompt_a_line(tmp_path: Path, content: str) -> None:
    path = write(tmp_path, "p.txt", content)
    file = PromptFile(path=path)
    assert file.prompts() == [
        Prompt("000001", "a cat", origin=f"{path}:1"),
        Prompt("000002", "two dogs", origin=f"{path}:2"),
    ]
    assert file.prompts() is file.prompts(), "read once"
    assert (len(file.issues), file.issues.total) == (0, 2)


def test_a_json_list_of_texts_and_objects(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "p.json",
        '["a [cat]", {"input_prompt": "two \\"dogs\\"", "source": "blip"},\n {"id": 7, "prompt": "x"}]',
    )
    assert PromptFile(path=path).prompts() == [
        Prompt("000000", "a [cat]", origin=f"{path}#0"),
        Prompt("000001", 'two "dogs"', extra={"source": "blip"}, origin=f"{path}#1"),
        Prompt("7", "x", origin=f"{path}#2"),
    ]


def test_geneval_metadata_keeps_its_other_keys(tmp_path: Path) -> None:
    include = [{"class": "dog", "count": 2, "color": "red"}]
    path = write(tmp_path, "m.jsonl", ["", {"tag": "counting", "include": include, "prompt": "two red dogs"}])
    expected = Prompt("000002", "two red dogs", extra={"tag": "counting", "include": include}, origin=f"{path}:2")
    assert PromptFile(path=path).prompts() == [expected]


def test_an_editing_folder(edits: Path) -> None:
    record = {"prompt": "make it red", "image": "images/a.png", "requirement": "red"}
    train = write(edits, "train_metadata.jsonl", [record, {"id": "e", "prompt": "make it red", "image": "b.png"}])
    file = PromptFile(path=edits, needs_source=True)
    assert file.prompts() == [
        Prompt("000001", "make it red", ImageRef("images/a.png", edits), {"requirement": "red"}, f"{train}:1"),
        Prompt("e", "make it red", ImageRef("images/b.png", edits), {}, f"{train}:2"),
    ]
    source = file.open_source(file.prompts()[1])
    assert (source.size, source.mode, source.getpixel((0, 0))) == ((9, 9), "RGB", (90, 20, 30))
    test = write(edits, "test_metadata.jsonl", [{"prompt": "other", "image": "images/b.png"}])
    assert [prompt.text for prompt in PromptFile(path=test).prompts()] == ["other"]
    found = (
        "one .jsonl file is needed, found test_metadata.jsonl, train_metadata.jsonl. Give the path of the file itself."
    )
    assert message(edits) == f"{edits}: {found}"


def test_ids_do_not_move_when_something_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, "p.txt", "a\n\nb\n")
    with caplog.at_level(logging.WARNING):
        assert skipped(path) == (["000001", "000003"], [f"{path}:2: {EMPTY}"])
    assert caplog.messages == [f"{path}: 1 of 3 records skipped; the first: {path}:2: {EMPTY}"]
    assert message(path) == f"{path}:2: {EMPTY}"


def test_a_limit_counts_good_prompts(tmp_path: Path) -> None:
    path = write(tmp_path, "p.txt", "\na\nb\nc\n")
    assert skipped(path, limit=2)[0] == ["000002", "000003"]
    assert len(PromptFile(path=write(tmp_path, "q.txt", "a\nb\n"), limit=9).prompts()) == 2


def test_duplicates_are_named_with_both_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "p.txt", "a cat\na dog\na cat \n")
    expected = f"{path}:3: the same prompt stands at {path}:1. Leave one of them out."
    assert message(path) == expected
    assert skipped(path) == (["000001", "000002"], [expected])
    path = write(tmp_path, "p.jsonl", [{"id": "1", "prompt": "a"}, {"id": 1, "prompt": "b"}])
    assert message(path) == f"{path}:2: duplicate id '1', first seen at {path}:1."


def test_the_same_instruction_for_two_sources_is_no_duplicate(edits: Path) -> None:
    records = [{"prompt": "x", "image": name} for name in ("images/a.png", "images/b.png", "a.png")]
    path = write(edits, "m.jsonl", records)
    same = "the same prompt for the same source picture"
    expected = f"{path}:3: {same} stands at {path}:1. Leave one of them out."
    assert skipped(path) == (["000001", "000002"], [expected])


def test_what_is_not_utf8_is_found_by_line(tmp_path: Path) -> None:
    path = write(tmp_path, "p.txt", b"fine\ncaf\xe9\nalso fine\n")
    expected = f"{path}:2: byte 4 of the line is not UTF-8. {UTF8}"
    assert message(path) == expected
    assert skipped(path) == (["000001", "000003"], [expected])
    path = write(tmp_path, "p.jsonl", b'{"prompt": "a"}\n{"prompt": "caf\xe9"}\n')
    assert skipped(path) == (["000001"], [f"{path}:2: the text is not UTF-8. {UTF8}"])
    path = write(tmp_path, "p.json", b'["a",\n\n"caf\xe9"]')
    assert message(path) == f"{path}:3: the text is not UTF-8. {UTF8}"


BAD_RECORDS: dict[str, tuple[Any, str]] = {
    "broken": ('{"prompt": "a"', "broken JSON at character 15 (Expecting ',' delimiter)."),
    "number": (7, "a prompt must be text or an object, found 7."),
    "no prompt": ({"text": "a"}, "'prompt' is missing."),
    "null": ({"prompt": None}, "'prompt' must be text, found null."),
    "list": ({"input_prompt": ["a"]}, "'input_prompt' must be text, found a list."),
    "empty": ({"prompt": " \n"}, EMPTY),
    "id": ({"id": True, "prompt": "a"}, "'id' must be text, found true/false."),
    "empty id": ({"id": " ", "prompt": "a"}, "'id' is empty. Give every prompt an id of its own, or none."),
    "image": ({"prompt": "a", "image": 3}, "'image' must be a relative path, found 3."),
    "no path": ({"prompt": "a", "image": ""}, "'image' must be a relative path, found empty text."),
    "gone": ({"prompt": "a", "image": "images/no.png"}, "'images/no.png' not found in {folder}."),
    "outside": (
        {"prompt": "a", "image": "../a.png"},
        f"'../a.png' leads outside the data folder {{folder}}. {OUTSIDE}",
    ),
    "absolute": ({"prompt": "a", "image": "/a.png"}, f"'/a.png' leads outside the data folder {{folder}}. {OUTSIDE}"),
    "link": ({"prompt": "a", "image": "link.png"}, f"'link.png' leads outside the data folder {{folder}}. {OUTSIDE}"),
    "large": ({"prompt": "a", "image": "images/b.png"}, "'images/b.png' is 9 x 9, more than max_pixels 80."),
    "text": (
        {"prompt": "a", "image": "m.jsonl"},
        "'m.jsonl' is not a picture, or its head is damaged. Readable are JPEG, PNG, WEBP, GIF, BMP, TIFF.",
    ),
    "sourceless": (
        {"prompt": "a"},
        "'image' is missing. An editing policy needs the picture that is to change.",
    ),
}


@pytest.mark.parametrize("kind", BAD_RECORDS)
def test_a_bad_record_stops_or_is_skipped(edits: Path, kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = write(tmp_path_factory.mktemp("elsewhere"), "x.png", picture_bytes())
    (edits / "link.png").symlink_to(elsewhere)
    bad, expected = BAD_RECORDS[kind]
    good = {"id": "good", "prompt": "fine", "image": "images/a.png"}
    path = write(edits, "m.jsonl", [good, bad, good | {"id": "also", "prompt": "fine too"}])
    expected = f"{path}:2: {expected.replace('{folder}', str(edits))}"
    setting = {"max_pixels": 80, "needs_source": kind == "sourceless"}
    assert message(path, **setting) == expected
    assert skipped(path, **setting) == (["good", "also"], [expected])


def test_files_that_hold_no_prompts(tmp_path: Path) -> None:
    assert message(tmp_path / "no.txt") == f"{tmp_path / 'no.txt'}: no such file."
    for name, content in {"a.txt": "\n \n", "a.json": "[]"}.items():
        assert message(write(tmp_path, name, content)) == f"{tmp_path / name}: holds no prompts."
    path = write(tmp_path, "a.jsonl", "\n")
    assert message(path) == f"{path}: holds no records."
    path = write(tmp_path, "a.csv", "a cat\n")
    assert message(path) == f"{path}: prompt files end in .txt, .jsonl, .json, this one in '.csv'."
    path = write(tmp_path, "bad.json", '["a",\n"b"')
    assert message(path) == f"{path}:2: broken JSON at character 4 (Expecting ',' delimiter)."
    path = write(tmp_path, "nan.json", '[{"prompt": "a", "x": NaN}]')
    assert message(path) == f"{path}: broken JSON (NaN is not JSON)."
    path = write(tmp_path, "object.json", '{"prompt": "a"}')
    assert message(path) == f"{path}: a JSON list is needed. Write a list, or one record a line in a .jsonl file."
    path = write(tmp_path, "half.json", '["a \\ud83d"]')
    assert message(path) == f"{path}#0: 'prompt' holds half of a surrogate pair, which is no character."
    (tmp_path / "none").mkdir()
    assert "one .jsonl file is needed, found none." in message(tmp_path / "none")


def test_nothing_good_is_an_error_even_when_skipping(tmp_path: Path) -> None:
    path = write(tmp_path, "p.jsonl", [{"prompt": ""}])
    with pytest.raises(BadRecord) as caught:
        skipped(path)
    expected = f"no good prompt left: 1 of 1 records skipped; the first: {path}:1: {EMPTY}."
    assert str(caught.value) == f"{path}: {expected}"


def test_settings_are_checked_before_anything_is_read() -> None:
    for setting, expected in [
        ({"on_bad_record": "ignore"}, "on_bad_record must be 'stop' or 'skip', found 'ignore'"),
        ({"limit": 0}, "limit 0 must be at least 1"),
        ({"max_pixels": 0}, "max_pixels 0 must be at least 1"),
    ]:
        with pytest.raises(ValueError, match=f"^{expected}$"):
            PromptFile(path=Path("nowhere.txt"), **setting)
    with pytest.raises(BadRecord) as caught:
        PromptFile(path=Path("nowhere.txt")).open_source(Prompt("7", "x", origin="p.txt:7"))
    assert str(caught.value) == "p.txt:7: prompt '7' has no source picture."
