from __future__ import annotations

import re

import pytest

from firm_lightning.curation.http_annotator import HttpAnnotator
from firm_lightning.curation.pipeline import Negatives, Pipeline, is_chosen, rewritten
from firm_lightning.types import Item
from tests.curation.scripted import Scene, Scripted, editing

ME = Scripted()


def scene(name: str, *reads: str, prompt: str = "{prompt}") -> Scene:
    return Scene(name=name, annotator=ME, prompt=prompt, reads=list(reads))


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "pipeline: there are no stages; name at least one that gives a rating"),
        ([scene("a"), scene("a")], "pipeline: two stages are named 'a'; give each a name of its own"),
        (
            [scene("a"), scene("b", "c"), scene("c")],
            "pipeline: stage 'b' reads 'c', which is no stage before it (those are: a)",
        ),
    ],
)
def test_what_cannot_run_is_refused(stages: list[Scene], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Pipeline(stages=stages)


def test_the_check_of_negatives_reads_what_holds_for_both() -> None:
    stages = [scene("blind", prompt="?"), scene("seeing", "blind"), scene("after", "seeing", prompt="?")]
    rewrite = scene("rewrite", "seeing")
    Pipeline(stages=stages, negatives=Negatives(share=1, rewrite=rewrite, check=scene("check", "blind", "rewrite")))
    message = (
        "pipeline: stage 'check' of negatives reads 'after', which depends on the instruction; it may read blind, "
        "rewrite"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Pipeline(stages=stages, negatives=Negatives(share=1, rewrite=rewrite, check=scene("check", "after")))


def test_inherited_is_what_never_saw_the_prompt() -> None:
    assert editing(ME).inherited() == {"obvious", "details", "report"}
    stages = [scene("seeing"), scene("indirect", "seeing", prompt="{seeing}?"), scene("blind", prompt="?")]
    assert Pipeline(stages=stages).inherited() == {"blind"}


def test_what_a_stage_needs_is_found_through_others() -> None:
    pipeline = editing(ME)
    assert [each.name for each in pipeline.needed_for(pipeline.named("execution"))] == ["obvious", "details", "report"]
    assert pipeline.needed_for(pipeline.named("details")) == []
    with pytest.raises(ValueError, match="^only: there is no stage 'excution'; the pipeline has obvious, details, re"):
        pipeline.named("excution")


def test_share_must_be_a_share() -> None:
    with pytest.raises(ValueError, match=r"^negatives: share 1\.5 must be from 0 to 1$"):
        Negatives(share=1.5, rewrite=scene("r"))


def test_a_larger_share_only_adds() -> None:
    ids = [f"i{number}" for number in range(2000)]
    chosen = {share: {each for each in ids if is_chosen(each, share, "x")} for share in (0.0, 0.2, 0.5, 1.0)}
    assert chosen[0.0] == set()
    assert chosen[1.0] == set(ids)
    assert chosen[0.2] < chosen[0.5]
    assert 340 <= len(chosen[0.2]) <= 460  # 400 +- 3.3 standard deviations
    assert {each for each in ids if is_chosen(each, 0.2, "y")} != chosen[0.2]


def test_a_rewritten_item_stays_with_its_parent() -> None:
    parent = Item(id="a", images=(), prompt="old", generator="g", origin="f:1", extra={"k": 1})
    twin = rewritten(parent, "new")
    assert twin == Item(
        id="a-rewritten", images=(), prompt="new", generator="g", origin="f:1", extra={"k": 1}, group="a", parent="a"
    )
    assert rewritten(Item(id="a", images=(), prompt="", group="g"), "new").group == "g"


def test_annotators_of_one_making_are_one() -> None:
    """A YAML anchor makes an object for each place where it stands; weights are to be loaded once."""

    def annotator(model: str) -> HttpAnnotator:
        return HttpAnnotator(endpoints=["http://localhost:1"], model=model)

    one, same, other = annotator("a"), annotator("a"), annotator("b")
    stages = [Scene(name=f"s{n}", annotator=each, prompt=f"{n}?") for n, each in enumerate((one, same, other))]
    rewrite = Scene(name="rewrite", annotator=annotator("a"), prompt="another {prompt}?")
    Pipeline(stages=stages, negatives=Negatives(share=0.5, rewrite=rewrite))
    assert [stage.annotator for stage in (*stages, rewrite)] == [one, one, other, one]


def test_annotators_that_would_answer_for_each_other_are_refused() -> None:
    stages = [
        Scene(name="first", annotator=Scripted(name="a"), prompt="?"),
        Scene(name="second", annotator=Scripted(name="a", pause_s=1.0), prompt="!"),
    ]
    message = (
        "pipeline: stage 'second' has another annotator named 'a', with other settings; each would be given the "
        "other's answers: give it a `name` of its own"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Pipeline(stages=stages)


def test_a_second_opinion_needs_a_second_annotator() -> None:
    message = (
        "pipeline: stage 'b' asks 'scripted' just what 'a' asks, and would be given the same answers; for a second "
        "opinion give it an annotator with a `name` of its own"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Pipeline(stages=[scene("a"), scene("b")])
    Pipeline(stages=[scene("a"), Scene(name="b", annotator=Scripted(name="other"), prompt="{prompt}")])


@pytest.mark.parametrize("name", ["../out", "a/b", ".hidden", "a\\b"])
def test_names_of_stages_are_names_of_files(name: str) -> None:
    message = f"pipeline: stage '{name}' must have a name that a file can have"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Pipeline(stages=[scene(name)])
