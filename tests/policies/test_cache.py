"""The cache of conditions: what is there is read, what is not is made once, what is broken is made again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from firm_lightning.policies.cache import ConditionCache, fingerprint, prompt_key

torch.set_num_threads(1)

KEYS = ["a", "b", "a", "c"]


def row(number: int) -> Mapping[str, Tensor]:
    return {"embeds": torch.full((2, 3), float(number)), "mask": torch.tensor([1, 0]), "half": torch.ones(1).bfloat16()}


class Maker:
    """Makes rows and writes down for which places."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, places: list[int]) -> Iterator[Mapping[str, Tensor]]:
        self.calls.append(places)
        yield from (row(place) for place in places)


@pytest.fixture(params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "conditions" if request.param == "disk" else None


def test_a_prompt_is_made_once(folder: Path | None) -> None:
    cache, make = ConditionCache(folder, "f"), Maker()
    first = cache.rows(KEYS, make)
    assert make.calls == [[0, 1, 3]]
    assert (cache.hits, cache.made) == (0, 3)
    assert [int(one["embeds"][0, 0]) for one in first] == [0, 1, 0, 3]
    again = cache.rows(["d", *reversed(KEYS)], make)
    assert make.calls == [[0, 1, 3], [0]]
    assert (cache.hits, cache.made) == (3, 4)
    assert [int(one["embeds"][0, 0]) for one in again] == [0, 3, 0, 1, 0]
    for kept, made in zip(again[1:], reversed(first), strict=True):
        assert kept.keys() == row(0).keys()
        assert all(torch.equal(kept[name], made[name]) and kept[name].dtype == made[name].dtype for name in made)


def test_filling_makes_what_is_missing(folder: Path | None) -> None:
    cache, make = ConditionCache(folder, "f"), Maker()
    cache.fill(["a", "b"], make)
    cache.fill(KEYS, make)
    cache.fill(KEYS, make)
    assert make.calls == [[0, 1], [3]]
    cache.rows(KEYS, make)
    assert len(make.calls) == 2


def test_another_process_and_another_fingerprint(tmp_path: Path) -> None:
    ConditionCache(tmp_path, "f").rows(KEYS, Maker())
    make = Maker()
    other = ConditionCache(str(tmp_path), "f")
    assert [int(one["embeds"][0, 0]) for one in other.rows(KEYS, make)] == [0, 1, 0, 3]
    assert (make.calls, other.hits, other.made) == ([], 3, 0)
    ConditionCache(tmp_path, "g").rows(["a"], make)
    assert make.calls == [[0]]
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert names == ["f/a.safetensors", "f/b.safetensors", "f/c.safetensors", "g/a.safetensors"]


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff" * 400])
@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: bytes, cut: bool) -> None:
    ConditionCache(tmp_path, "f").rows(["a", "b"], Maker())
    path = tmp_path / "f" / "a.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] if cut else damage)
    make = Maker()
    cache = ConditionCache(tmp_path, "f")
    cache.fill(["b", "a"], make)
    assert make.calls == [[1]]
    path.write_bytes(whole[:-1] if cut else damage)
    assert [int(one["embeds"][0, 0]) for one in cache.rows(["b", "a"], make)] == [1, 1]
    assert make.calls == [[1], [1]]
    assert len(path.read_bytes()) == len(whole)


def test_what_fails_leaves_no_file_and_keeps_what_was_made(tmp_path: Path) -> None:
    def make(places: list[int]) -> Iterator[Mapping[str, Tensor]]:
        yield row(0)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="^out of memory$"):
        ConditionCache(tmp_path, "f").rows(["a", "b"], make)
    assert [path.name for path in (tmp_path / "f").iterdir()] == ["a.safetensors"]
    with pytest.raises(ValueError, match="shorter"):
        ConditionCache(tmp_path, "g").rows(["a", "b"], lambda places: [row(0)])


def test_rows_are_kept_not_the_batch_they_were_cut_from(folder: Path | None) -> None:
    batch = torch.zeros(1000, 2, requires_grad=True)
    cache = ConditionCache(folder, "f")
    kept = cache.rows(["a"], lambda places: [{"x": batch[0]}])[0]["x"]
    assert kept.untyped_storage().nbytes() == 8
    assert not kept.requires_grad


def test_names() -> None:
    assert prompt_key("a red circle") == hashlib.sha256(b"12:a red circle").hexdigest()
    assert prompt_key("née") == hashlib.sha256(b"4:n\xc3\xa9e").hexdigest()
    assert prompt_key("a", b"bc") == hashlib.sha256(b"1:abc").hexdigest()
    assert prompt_key("ab", b"c") != prompt_key("a", b"bc")
    assert fingerprint("a", "b") == hashlib.sha256(b"1:a1:b").hexdigest()[:32]
    assert fingerprint("ab", "") != fingerprint("a", "b")
