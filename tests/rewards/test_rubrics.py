"""Rubrics: the package's own, the user's, and what is wrong with a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from firm_lightning.rewards.rubrics import Rubric, load_rubric, package_rubrics
from firm_lightning.types import TASKS


def test_package_rubrics_exist_for_every_task_and_for_the_scenes() -> None:
    assert package_rubrics() == tuple(sorted([*TASKS, *(f"scenes_{task}" for task in TASKS)]))
    for task in TASKS:
        text = load_rubric(task, task).text
        answer = '"score": [n]}' if task in ("execution", "consistency") else "\\boxed{n}"
        assert text.endswith(answer)
        for score in range(1, 6):
            assert f"\n{score} - " in text


def test_scenes_rubrics_are_short() -> None:
    questions = [load_rubric(f"scenes_{task}", task).question("a red dog") for task in TASKS]
    assert questions == [
        "Score execution. a red dog",
        "Score consistency. a red dog",
        "Score alignment. a red dog",
        "Score quality.",
    ]


def test_only_the_placeholder_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_bytes('\ufeff{prompt}: {"score": [n]} {other} {{x}}\r\n{prompt}\n\n'.encode())
    rubric = load_rubric(path, "execution")
    assert rubric.question("add {prompt}") == 'add {prompt}: {"score": [n]} {other} {{x}}\nadd {prompt}'
    assert (rubric.task, rubric.name) == ("execution", str(path))
    assert rubric.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_empty_prompt_is_refused_where_it_is_needed() -> None:
    with pytest.raises(ValueError) as caught:
        load_rubric("scenes_alignment", "alignment").question(" ")
    assert str(caught.value) == (
        "rubric scenes_alignment: the prompt is empty, so there is nothing to put for {prompt}"
    )
    assert load_rubric("scenes_quality", "quality").question("") == "Score quality."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Judge this.", "the placeholder {prompt} is missing; write it where the edit instruction belongs"),
        (
            b"Judge {instruction}.",
            "the placeholder {prompt} is missing, but {instruction} is there; write {prompt} instead",
        ),
        (b"End in \\boxed{n}", "the placeholder {prompt} is missing; write it where the edit instruction belongs"),
        (b" \n", "the file is empty; write what the critic is asked"),
        (b"a\n{prompt} caf\xe9", "byte 14 (line 2) is 0xe9, which is not UTF-8; save the file as UTF-8"),
    ],
)
def test_a_wrong_file_is_named_with_its_fault(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "own.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        load_rubric(path, "consistency")
    assert str(caught.value) == f"rubric {path}: {message}"


def test_quality_needs_no_placeholder(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text("Judge the picture.", encoding="utf-8")
    assert load_rubric(str(path), "quality").question("ignored") == "Judge the picture."


def test_a_missing_file_names_the_nearest_rubric() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        load_rubric("alignmnt", "alignment")
    assert str(caught.value) == (
        "rubric alignmnt: no such file; did you mean alignment? Give the path of a text file, or one of alignment, "
        "consistency, execution, quality, scenes_alignment, scenes_consistency, scenes_execution, scenes_quality"
    )


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ValueError) as caught:
        Rubric(task="beauty", text="{prompt}", name="own", sha256="")  # type: ignore[arg-type]
    assert str(caught.value) == "rubric own: task 'beauty' is not one of execution, consistency, alignment, quality"
