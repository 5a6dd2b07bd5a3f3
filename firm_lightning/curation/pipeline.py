"""What a curation run does with each item: an ordered list of stages and, for a share of items, made-up mismatches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from firm_lightning.curation.described import described, made_alike
from firm_lightning.protocols import Annotator, Stage
from firm_lightning.types import CuratedRecord, Item

REWRITTEN = "-rewritten"
"""Ends the id of an item whose instruction was rewritten."""


@runtime_checkable
class ItemSource(Protocol):
    """Gives the items to label, in the same order whenever it is asked."""

    def __iter__(self) -> Iterator[Item]:
        """All items."""
        ...


@runtime_checkable
class Finisher(Protocol):
    """Makes the final set of the labelled records."""

    def write(self, records: Sequence[CuratedRecord], folder: Path) -> None:
        """Write everything into an existing empty folder; the same records give the same bytes."""
        ...


@runtime_checkable
class HasPrompt(Protocol):
    """A stage whose question is made of a prompt file."""

    @property
    def prompt_sha256(self) -> str:
        """SHA-256 of the file's bytes, in hex."""
        ...


class Negatives:
    """Mismatched items, where natural low scores are rare: the instruction is rewritten so that the pictures miss it.

    A rewritten item is ``<id>-rewritten``. It goes through the same stages; what stages found that do not see the
    instruction is taken over, so nothing is asked twice.

    Args:
        share: Share of the items that get a rewritten twin, 0 to 1. Which ones follows from the seed and their ids, so
            that a larger share only adds to them.
        rewrite: The stage that writes another instruction.
        check: The stage that finds out whether the pictures meet the new instruction after all; such an item is set
            aside. Null trusts the rewriting.
        seed: Seed of the choice.

    Raises:
        ValueError: The share is not from 0 to 1.
    """

    def __init__(self, *, share: float, rewrite: Stage, check: Stage | None = None, seed: int = 0) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"negatives: share {share} must be from 0 to 1")
        self.share = share
        self.rewrite = rewrite
        self.check = check
        self.seed = seed

    @property
    def stages(self) -> list[Stage]:
        """The stages that only rewritten items go through, in order."""
        return [self.rewrite] if self.check is None else [self.rewrite, self.check]

    def takes(self, item_id: str) -> bool:
        """Whether an item gets a rewritten twin."""
        return is_chosen(item_id, self.share, f"negatives {self.seed}")


class Pipeline:
    """The stages of a curation run.

    Stages whose annotators were made with the same settings share one, so that its weights are loaded once.

    Args:
        stages: In order; a stage may read what those before it found. Ratings become records.
        negatives: How mismatched items are made; null makes none.

    Raises:
        ValueError: No stages, two of one name, one that reads what no earlier stage gives or asks what another asks,
            or two annotators of one name.
    """

    def __init__(self, *, stages: list[Stage], negatives: Negatives | None = None) -> None:
        self.stages = stages
        self.negatives = negatives
        if not stages:
            raise ValueError("pipeline: there are no stages; name at least one that gives a rating")
        _check_reads([*stages, *self.negatives_stages])
        _share_annotators(self.all_stages)
        _check_answers(self.all_stages)
        if negatives is not None and negatives.check is not None:
            _check_of_twins(negatives.check, self.inherited() | {negatives.rewrite.name})

    @property
    def negatives_stages(self) -> list[Stage]:
        """The stages that only rewritten items go through."""
        return [] if self.negatives is None else self.negatives.stages

    @property
    def all_stages(self) -> list[Stage]:
        """Every stage."""
        return [*self.stages, *self.negatives_stages]

    def inherited(self) -> frozenset[str]:
        """Stages whose outputs hold for rewritten items: neither they nor what they read see the prompt."""
        names: set[str] = set()
        for stage in self.stages:
            if not stage.sees_prompt and names.issuperset(stage.reads):
                names.add(stage.name)
        return frozenset(names)

    def rating_stages(self, item: Item) -> list[Stage]:
        """The stages whose ratings of an item are its own; a rewritten item shares the others with its parent."""
        shared = self.inherited() if item.parent else frozenset()
        return [stage for stage in self.stages if stage.name not in shared]

    def named(self, name: str) -> Stage:
        """A stage by its name.

        Raises:
            ValueError: There is none.
        """
        for stage in self.all_stages:
            if stage.name == name:
                return stage
        names = ", ".join(stage.name for stage in self.all_stages)
        raise ValueError(f"only: there is no stage '{name}'; the pipeline has {names}")

    def needed_for(self, stage: Stage) -> list[Stage]:
        """The stages of the pipeline that a stage needs, in order, without itself."""
        needed = set(stage.reads)
        for earlier in reversed(self.stages):
            if earlier.name in needed:
                needed |= set(earlier.reads)
        return [earlier for earlier in self.stages if earlier.name in needed]


def rewritten(parent: Item, prompt: str) -> Item:
    """The item with another prompt; it stays in the group of its parent."""
    group = parent.group or parent.id
    return replace(parent, id=parent.id + REWRITTEN, prompt=prompt, group=group, parent=parent.id)


def is_chosen(item_id: str, share: float, purpose: str) -> bool:
    """Whether an item is in a random share: it follows from its id and the purpose alone, and grows with the share."""
    digest = hashlib.sha256(f"{purpose}\0{item_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _check_reads(stages: Sequence[Stage]) -> None:
    known: list[str] = []
    for stage in stages:
        if "/" in stage.name or "\\" in stage.name or stage.name.startswith("."):
            raise ValueError(f"pipeline: stage '{stage.name}' must have a name that a file can have")
        if stage.name in known:
            raise ValueError(f"pipeline: two stages are named '{stage.name}'; give each a name of its own")
        for name in stage.reads:
            if name not in known:
                given = ", ".join(known) or "none"
                raise ValueError(
                    f"pipeline: stage '{stage.name}' reads '{name}', which is no stage before it (those are: {given})"
                )
        known.append(stage.name)


def _share_annotators(stages: Sequence[Stage]) -> None:
    """Give stages whose annotators are alike the first of them: a YAML anchor makes one for each place."""
    known: list[Annotator] = []
    for stage in stages:
        if stage.annotator is None:
            continue
        for other in known:
            if made_alike(other, stage.annotator):
                stage.annotator = other  # type: ignore[misc]
        if not any(other is stage.annotator for other in known):
            known.append(stage.annotator)


def _check_answers(stages: Sequence[Stage]) -> None:
    """Answers are remembered by annotator, question and pictures: nobody may be given what is another's."""
    annotators: dict[str, object] = {}
    questions: dict[str, str] = {}
    for stage in stages:
        if stage.annotator is None:
            continue
        name, settings = stage.annotator.name, described(stage.annotator)
        if annotators.setdefault(name, settings) != settings:
            raise ValueError(
                f"pipeline: stage '{stage.name}' has another annotator named '{name}', with other settings; each would "
                "be given the other's answers: give it a `name` of its own"
            )
        asked = json.dumps({**described(stage), "name": "", "annotator": name}, sort_keys=True)
        if (other := questions.setdefault(asked, stage.name)) != stage.name:
            raise ValueError(
                f"pipeline: stage '{stage.name}' asks '{name}' just what '{other}' asks, and would be given the same "
                "answers; for a second opinion give it an annotator with a `name` of its own"
            )


def _check_of_twins(check: Stage, readable: frozenset[str]) -> None:
    for name in check.reads:
        if name not in readable:
            raise ValueError(
                f"pipeline: stage '{check.name}' of negatives reads '{name}', which depends on the instruction; it may "
                f"read {', '.join(sorted(readable))}"
            )
