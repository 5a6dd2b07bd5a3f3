"""Where drawn pictures go, so that a benchmark's own scorer finds them: a class for each layout.

All paths are relative to the folder that is written; ids become safe file names, so that none leads out of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from firm_lightning.data.picture_files import safe_name
from firm_lightning.data.records import BadRecord
from firm_lightning.types import Prompt

_ORIGIN = re.compile(r".*(?P<mark>[:#])(?P<number>\d+)", re.DOTALL)
GRID_PICTURES = 4


@runtime_checkable
class PictureLayout(Protocol):
    """Where pictures of a prompt go, and what else belongs to them."""

    def path(self, prompt: Prompt, number: int) -> Path:
        """Where picture ``number`` of a prompt goes, counted from 0.

        Raises:
            BadRecord: The prompt lacks what the layout needs.
        """
        ...

    def side_files(self, prompts: Sequence[Prompt]) -> dict[Path, str]:
        """The text files that stand beside the pictures, with what they hold."""
        ...


@runtime_checkable
class SourceLayout(Protocol):
    """A layout that keeps the source pictures of edits too."""

    def source_path(self, prompt: Prompt, number: int) -> Path:
        """Where the source of picture ``number`` goes."""
        ...


@runtime_checkable
class GridLayout(Protocol):
    """A layout that wants pictures of one prompt put together in a square."""

    def grids(self, prompts: Sequence[Prompt]) -> dict[Path, tuple[Path, ...]]:
        """Each square with its pictures in reading order."""
        ...


class Plain:
    """``<id>-<number>.png`` for each picture, and ``prompts.jsonl`` with the prompts and the names of their files."""

    def path(self, prompt: Prompt, number: int) -> Path:
        """``<id>-<number>.png``."""
        return Path(f"{safe_name(prompt.id)}-{number}.png")

    def side_files(self, prompts: Sequence[Prompt]) -> dict[Path, str]:
        """``prompts.jsonl``: id, prompt, the beginning of its file names as ``name``, and what its file says beyond."""
        rows = [{"id": p.id, "prompt": p.text, "name": safe_name(p.id)} for p in prompts]
        lines = [_json({**prompt.extra, **row}) for prompt, row in zip(prompts, rows, strict=True)]
        return {Path("prompts.jsonl"): "".join(f"{line}\n" for line in lines)}


class GenEval:
    """``00000/samples/0000.png``, with the prompt's own record in ``00000/metadata.jsonl``.

    Folders are numbered by the prompt's place in its file, from 0. Use GenEval's ``evaluation_metadata.jsonl`` as the
    prompt file and give the written folder to its ``evaluate_images.py``. Source: the README and
    ``evaluation/evaluate_images.py`` of https://github.com/djghosh13/geneval.
    """

    def path(self, prompt: Prompt, number: int) -> Path:
        """``<place>/samples/<number>.png``."""
        return self._folder(prompt) / "samples" / f"{number:04d}.png"

    def side_files(self, prompts: Sequence[Prompt]) -> dict[Path, str]:
        """``metadata.jsonl`` of every prompt: one object with ``tag``, ``include``, perhaps ``exclude``, ``prompt``."""
        return {self._folder(prompt) / "metadata.jsonl": self._metadata(prompt) for prompt in prompts}

    def _folder(self, prompt: Prompt) -> Path:
        origin = _ORIGIN.fullmatch(prompt.origin)
        place = int(origin["number"]) - (origin["mark"] == ":") if origin else -1  # lines count from 1
        if place < 0:
            problem = f"prompt '{prompt.id}' has no place in a file, which names GenEval's folder"
            raise BadRecord(prompt.origin, problem, "Read the prompts from GenEval's evaluation_metadata.jsonl.")
        return Path(f"{place:05d}")

    def _metadata(self, prompt: Prompt) -> str:
        _need(prompt, "GenEval", "tag", "include")
        return _json({**prompt.extra, "prompt": prompt.text}) + "\n"


class DPGBench:
    """``<model>/<id>.png``, a square of four pictures of a prompt, which are also kept one by one in ``cells``.

    The id of a prompt must be the name of its file in ``dpg_bench/prompts`` without ``.txt``. Give the folder
    ``<model>`` to ``dist_eval.sh`` with the side of one picture as resolution; pictures must be square. Source: the
    README and ``dpg_bench/compute_dpg_bench.py`` of https://github.com/TencentQQGYLab/ELLA, whose scorer reads names up
    to the first dot and cuts squares of that side.

    Args:
        model: Name of the folder; the scorer reports it as the name of the model.
        pictures: Pictures of each prompt: 4 make a square, 1 is written as it is.
    """

    def __init__(self, *, model: str = "model", pictures: int = GRID_PICTURES) -> None:
        if pictures not in (1, GRID_PICTURES):
            raise ValueError(f"pictures {pictures} must be {GRID_PICTURES} (a square) or 1")
        self.model = _folder_name(model)
        self.pictures = pictures

    def path(self, prompt: Prompt, number: int) -> Path:
        """``cells/<id>/<number>.png`` of a square; a single picture stands where the scorer looks."""
        if number >= self.pictures:
            problem = f"picture {number} of prompt '{prompt.id}' has no place: DPGBench.pictures is {self.pictures}"
            raise BadRecord(prompt.origin, problem, "Set evaluation.pictures_per_prompt to the same number.")
        if self.pictures == 1:
            return self._picture(prompt)
        return Path("cells") / self._picture(prompt).stem / f"{number}.png"

    def side_files(self, prompts: Sequence[Prompt]) -> dict[Path, str]:
        """None: the scorer takes every file for a picture."""
        return {}

    def grids(self, prompts: Sequence[Prompt]) -> dict[Path, tuple[Path, ...]]:
        """``<model>/<id>.png`` with its four cells."""
        if self.pictures == 1:
            return {}
        return {self._picture(p): tuple(self.path(p, number) for number in range(self.pictures)) for p in prompts}

    def _picture(self, prompt: Prompt) -> Path:
        name = safe_name(prompt.id)
        if "." in name:
            problem = f"id '{prompt.id}' has a dot, and DPG-Bench reads names up to the first dot"
            raise BadRecord(prompt.origin, problem, "Use the name of the prompt's file without its ending as id.")
        return Path(self.model) / f"{name}.png"


class GEditBench:
    """``<model>/fullset/<task_type>/<language>/<key>.png``, with the source beside it as ``<key>_SRCIMG.png``.

    Prompts need ``task_type`` and ``instruction_language`` as in the data set; their ``key``, or else their id, names
    the file. Further pictures of a prompt make models of their own, ``<model>-1`` and so on, each a whole result
    folder. Source: ``GEdit-Bench/generate_image_example.py`` of https://github.com/stepfun-ai/Step1X-Edit.

    Args:
        model: Name of the folder; the scorer reports it as the name of the model.
    """

    def __init__(self, *, model: str = "model") -> None:
        self.model = _folder_name(model)

    def path(self, prompt: Prompt, number: int) -> Path:
        """``<model>/fullset/<task_type>/<language>/<key>.png``."""
        return self._folder(prompt, number) / f"{self._key(prompt)}.png"

    def source_path(self, prompt: Prompt, number: int) -> Path:
        """``<key>_SRCIMG.png`` beside the picture."""
        return self._folder(prompt, number) / f"{self._key(prompt)}_SRCIMG.png"

    def side_files(self, prompts: Sequence[Prompt]) -> dict[Path, str]:
        """None."""
        return {}

    def _folder(self, prompt: Prompt, number: int) -> Path:
        task, language = _need(prompt, "GEdit-Bench", "task_type", "instruction_language")
        return Path(_numbered(self.model, number)) / "fullset" / safe_name(str(task)) / safe_name(str(language))

    def _key(self, prompt: Prompt) -> str:
        return safe_name(str(prompt.extra.get("key") or prompt.id))


class ImgEdit:
    """``<model>/<key>.png``: the id of a prompt must be its key in ``basic_edit.json``.

    Give the folder ``<model>`` to ``basic_bench.py`` as its result folder. Further pictures of a prompt make models of
    their own, ``<model>-1`` and so on. Source: ``Benchmark/Basic/basic_bench.py`` and its readme of
    https://github.com/PKU-YuanGroup/ImgEdit.

    Args:
        model: Name of the folder.
    """

    def __init__(self, *, model: str = "model") -> None:
        self.model = _folder_name(model)

    def path(self, prompt: Prompt, number: int) -> Path:
        """``<model>/<key>.png``."""
        return Path(_numbered(self.model, number)) / f"{safe_name(prompt.id)}.png"

    def side_files(self, prompts: Sequence[Prompt]) -> dict[Path, str]:
        """None."""
        return {}


def paths_of(layout: PictureLayout, pictures: Iterable[tuple[Prompt, int]]) -> dict[tuple[str, int], Path]:
    """The path of every picture by prompt id and number.

    Raises:
        BadRecord: Two pictures would share a file, also on a file system that knows no capitals.
    """
    paths: dict[tuple[str, int], Path] = {}
    taken: dict[str, Prompt] = {}
    for prompt, number in pictures:
        path = layout.path(prompt, number)
        first = taken.setdefault(str(path).casefold(), prompt)
        if first is not prompt:
            problem = f"prompts '{first.id}' ({first.origin}) and '{prompt.id}' would both be written to {path}"
            raise BadRecord(prompt.origin, problem, "Give them ids that differ in more than capitals.")
        paths[prompt.id, number] = path
    return paths


def _need(prompt: Prompt, benchmark: str, *keys: str) -> list[Any]:
    missing = [f"'{key}'" for key in keys if key not in prompt.extra]
    if missing:
        problem = f"prompt '{prompt.id}' has no {' and no '.join(missing)}, which {benchmark} needs"
        raise BadRecord(prompt.origin, problem, "Use the benchmark's own prompt file.")
    return [prompt.extra[key] for key in keys]


def _numbered(model: str, number: int) -> str:
    return f"{model}-{number}" if number else model


def _folder_name(name: str) -> str:
    if name in ("", ".", "..") or Path(name).name != name:
        raise ValueError(f"model {name!r} must be the name of a folder, not a path")
    return name


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
