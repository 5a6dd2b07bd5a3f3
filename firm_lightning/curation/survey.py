"""A first look at all items, before anything is asked: how many, whether their ids are good, and which they are."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from firm_lightning.curation.pipeline import REWRITTEN
from firm_lightning.pictures import BadRecord
from firm_lightning.types import Item

SAMPLE_SEED = 0


@dataclass(slots=True)
class Survey:
    """What was seen. In memory stay 2 bytes an item and a sample.

    Attributes:
        fingerprint: SHA-256 of the items' fields. The pictures' bytes are not read: the journal knows answers by them.
        steps: For each item, how many stages it and its twin go through.
        sample: Some items, spread over all.
        prompts: How many different prompts they have, where a sample is taken.
    """

    fingerprint: str = ""
    steps: array[int] = field(default_factory=lambda: array("H"))
    sample: list[Item] = field(default_factory=list)
    prompts: int = 0


def survey(items: Iterable[Item], *, steps: Callable[[str], int], makes_twins: bool, sample_items: int = 0) -> Survey:
    """Look at every item; ids need about 200 bytes each meanwhile.

    Args:
        items: The items.
        steps: Steps of the item with this id.
        makes_twins: Whether items get rewritten twins, so that ids which end like theirs might meet.
        sample_items: How many items to keep as a sample.

    Raises:
        BadRecord: An id is empty, or comes twice; or there are no items.
    """
    found, digest, origins, prompts = Survey(), hashlib.sha256(), dict[str, str](), set[bytes]()
    for item in items:
        _check_id(item, origins, makes_twins)
        digest.update(_told(item))
        found.steps.append(steps(item.id))
        if not sample_items:
            continue
        prompts.add(_short_hash(item.prompt))
        if len(found.sample) < sample_items:
            found.sample.append(item)
        elif (place := _draw(item.id, len(found.steps))) < sample_items:
            found.sample[place] = item
    if not found.steps:
        raise BadRecord("items", "there are none", "Give a source that has some.")
    found.prompts = len(prompts)
    found.fingerprint = f"sha256:{digest.hexdigest()} ({len(found.steps)} items)"
    return found


def _check_id(item: Item, origins: dict[str, str], makes_twins: bool) -> None:
    where = item.origin or f"item '{item.id}'"
    if not item.id:
        raise BadRecord(where, "the item has no id", "Give every item an id of its own.")
    if item.id in origins:
        problem = f"duplicate id '{item.id}', first seen at {origins[item.id] or 'an earlier item'}"
        raise BadRecord(where, problem, "Give every item an id of its own.")
    if makes_twins and item.id.endswith(REWRITTEN):
        raise BadRecord(where, f"id '{item.id}' ends in '{REWRITTEN}', as those of rewritten items", "Rename it.")
    origins[item.id] = item.origin


def _told(item: Item) -> bytes:
    images = [[ref.name, str(ref.root), None if ref.data is None else len(ref.data)] for ref in item.images]
    fields = [item.id, images, item.prompt, item.dataset, item.group, item.generator, item.category, item.extra]
    return json.dumps(fields, default=dict).encode() + b"\n"


def _draw(item_id: str, seen: int) -> int:
    """A seeded number below ``seen``: the place of a reservoir sample."""
    return int.from_bytes(_short_hash(f"{SAMPLE_SEED}\0{seen}\0{item_id}"), "big") % seen


def _short_hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8]
