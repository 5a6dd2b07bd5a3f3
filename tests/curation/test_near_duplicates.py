"""Records that must stay on one side of a split."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from firm_lightning.curation import near_duplicates
from firm_lightning.curation.near_duplicates import NearDuplicates, PictureTable
from firm_lightning.types import CuratedRecord, ImageRef
from tests.curation.labelled import drawing, photograph, record, save


def groups(near: NearDuplicates, *records: CuratedRecord) -> list[list[str]]:
    """The groups by the ids of their records."""
    table = near.look([each.judgement for each in records], title="pictures")
    found = near.group(records, table).of
    return sorted(sorted(name for name in found if found[name] == group) for group in set(found.values()))


def starry(seed: int) -> Image.Image:
    """Single white pixels on black, too few to leave anything of themselves in the shrunk picture."""
    pixels = np.zeros((256, 256), dtype=np.uint8)
    pixels[tuple(np.random.default_rng(seed).integers(0, 256, (2, 12)))] = 255
    return Image.fromarray(pixels).convert("RGB")


def test_near_duplicates_are_joined_and_others_are_not(tmp_path: Path) -> None:
    one = save(tmp_path, "one.png", photograph(1))
    again = save(tmp_path, "again.jpg", photograph(1).resize((90, 90)), quality=80)
    other = save(tmp_path, "other.png", photograph(2))
    assert groups(
        NearDuplicates(), record("a", images=(one,)), record("b", images=(again,)), record("c", images=(other,))
    ) == [["a", "b"], ["c"]]
    assert groups(NearDuplicates(bits=0, difference=0), record("a", images=(one,)), record("b", images=(again,))) == [
        ["a"],
        ["b"],
    ]


def test_equal_shapes_of_other_colours_are_not_alike(tmp_path: Path) -> None:
    picture = drawing(5, 128)
    red, green, blue = picture.split()
    swapped = Image.merge("RGB", (red, blue, green))
    records = [record(f"r{n}", images=(save(tmp_path, f"{n}.png", each),)) for n, each in enumerate((picture, swapped))]
    assert groups(NearDuplicates(bits=63, difference=24), *records) == [["r0"], ["r1"]]
    assert groups(NearDuplicates(bits=63, difference=255), *records) == [["r0", "r1"]]


def test_pictures_of_one_colour_join_nothing_not_even_their_own_file(tmp_path: Path) -> None:
    black = save(tmp_path, "black.png", Image.new("RGB", (8, 8)))
    again = save(tmp_path, "again.png", Image.new("RGB", (8, 8)))
    records = [record(f"r{n}", images=(ref,)) for n, ref in enumerate((black, black, again))]
    assert groups(NearDuplicates(), *records) == [["r0"], ["r1"], ["r2"]]
    twin = record("twin", images=(black,), parent="item-r0")
    assert groups(NearDuplicates(), records[0], twin) == [["r0", "twin"]]


def test_pictures_too_even_for_a_hash_are_alike_if_they_are_equal(tmp_path: Path) -> None:
    pages = [starry(place) for place in (5, 6)]
    refs = [save(tmp_path, f"{n}.png", page) for n, page in enumerate(pages)]
    again = save(tmp_path, "again.webp", pages[0], lossless=True)
    records = [record(f"r{n}", images=(ref,)) for n, ref in enumerate((refs[0], refs[0], refs[1], again))]
    near = NearDuplicates()
    assert groups(near, *records) == [["r0", "r1", "r3"], ["r2"]]
    table = near.look([each.judgement for each in records], title="pictures")
    told = near.group(records, table)
    assert (told.pictures, told.faint, told.blank, told.like_another) == (2, 2, 0, 0)


def test_thousands_that_look_the_same_are_joined_without_their_pairs() -> None:
    random, count = np.random.default_rng(0), 3000
    table = PictureTable(
        hashes=np.uint64(1) << random.integers(0, 64, count, dtype=np.uint64),  # no two differ in more than two bits
        cells=random.integers(100, 124, (count, 192), dtype=np.uint8),
        contents=[b""] * count,
        is_faint=np.zeros(count, dtype=np.bool_),
        is_blank=np.zeros(count, dtype=np.bool_),
        row={},
        bad={},
    )
    tracemalloc.start()
    try:
        sets = NearDuplicates(bits=2).sets(table)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert set(sets.tolist()) == {0}
    assert peak_bytes < 20e6  # 4,498,500 pairs of two numbers would take 72 MB


def test_no_more_pictures_wait_than_a_window_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "_WINDOW", 2)
    refs = [save(tmp_path, f"{n}.png", drawing(n)) for n in range(5)]
    windows: list[int] = []
    plain = ThreadPoolExecutor.map

    def counted(pool: ThreadPoolExecutor, work: Any, refs: list[ImageRef], origins: Any) -> Any:
        windows.append(len(refs))
        return plain(pool, work, refs, origins)

    monkeypatch.setattr(ThreadPoolExecutor, "map", counted)
    judgements = [record(f"r{n}", images=(ref,)).judgement for n, ref in enumerate(refs)]
    table = NearDuplicates().look(judgements, title="pictures")
    assert [table.row[ref] for ref in refs] == [0, 1, 2, 3, 4]
    assert windows == [2, 2, 1]


def test_one_source_picture_joins_edits(tmp_path: Path) -> None:
    source, left, right = (save(tmp_path, f"{n}.png", drawing(n)) for n in range(3))
    near = NearDuplicates(instructions=False)
    edits = [
        record("a", task="execution", images=(source, left)),
        record("b", task="execution", images=(source, right)),
    ]
    assert groups(near, *edits) == [["a", "b"]]


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ({"prompt": "A red  Car"}, {"prompt": "a red car"}, True),
        ({"prompt": "a red car"}, {"prompt": "a blue car"}, False),
        ({"group": "g"}, {"group": "g"}, True),
        ({"group": "g"}, {"group": "g", "dataset": "another"}, False),
        ({}, {"parent": "item-a"}, True),
        ({}, {"parent": "item-a", "dataset": "another"}, False),
        ({"prompt": ""}, {"prompt": ""}, False),
    ],
)
def test_prompts_groups_and_rewritten_items(first: dict[str, str], second: dict[str, str], together: bool) -> None:
    found = groups(NearDuplicates(), record("a", **first), record("b", **second))  # type: ignore[arg-type]
    assert found == ([["a", "b"]] if together else [["a"], ["b"]])


def test_instructions_of_edits_join_only_if_they_are_to(tmp_path: Path) -> None:
    refs = [save(tmp_path, f"{n}.png", drawing(n)) for n in range(4)]
    edits = [
        record(f"r{n}", task="execution", images=(refs[2 * n], refs[2 * n + 1]), prompt="make it red") for n in (0, 1)
    ]
    assert groups(NearDuplicates(), *edits) == [["r0", "r1"]]
    assert groups(NearDuplicates(instructions=False), *edits) == [["r0"], ["r1"]]


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    bad = ImageRef("bad.png", root=tmp_path)
    table = NearDuplicates().look([record("a", images=(bad,)).judgement], title="pictures")
    assert list(table.bad) == [bad] and "items.jsonl:a" in str(table.bad[bad]) and table.row == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 64}, "bits 64 must lie between 0 and 63"),
        ({"difference": 256}, "difference 256 must lie between 0 and 255"),
        ({"workers": 0}, "workers 0 must be at least 1"),
    ],
)
def test_bad_settings(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError) as error:
        NearDuplicates(**settings)  # type: ignore[arg-type]
    assert str(error.value) == message
