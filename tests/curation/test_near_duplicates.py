"""Records that must stay on one side of a split."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from firm_lightning.curation.near_duplicates import NearDuplicates, UnionFind
from firm_lightning.types import CuratedRecord, ImageRef
from tests.curation.labelled import drawing, photograph, record, save


def groups(near: NearDuplicates, *records: CuratedRecord) -> list[list[str]]:
    """The groups by the ids of their records."""
    table = near.look([each.judgement for each in records], title="pictures")
    found = near.group(records, table).of
    return sorted(sorted(name for name in found if found[name] == group) for group in set(found.values()))


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
    grey = [Image.merge("RGB", (each.convert("L"),) * 3) for each in (picture, swapped)]
    names = [save(tmp_path, f"{n}.png", each) for n, each in enumerate((picture, swapped, *grey))]
    records = [record(f"r{n}", images=(ref,)) for n, ref in enumerate(names)]
    assert groups(NearDuplicates(bits=63, difference=24), *records[:2]) == [["r0"], ["r1"]]


def test_flat_pictures_join_nothing_unless_they_are_one_file_of_one_item(tmp_path: Path) -> None:
    black = [save(tmp_path, f"{n}.png", Image.new("RGB", (8 + n, 8), (0, 0, 0))) for n in range(2)]
    assert groups(NearDuplicates(), *(record(f"r{n}", images=(ref,)) for n, ref in enumerate(black))) == [
        ["r0"],
        ["r1"],
    ]


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


def test_disjoint_sets() -> None:
    sets = UnionFind()
    for left, right in ((1, 2), (3, 4), (2, 3), (5, 6)):
        sets.join(left, right)
    assert len({sets.root(thing) for thing in (1, 2, 3, 4)}) == 1
    assert len({sets.root(thing) for thing in (1, 5, 7)}) == 3


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
