"""Frozen dataclasses that cross folder borders. The vocabulary is the glossary in ``CONTRIBUTING.md``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:  # commands that need no model answer without torch
    import torch
    from PIL.Image import Image
    from torch import Tensor

WeightSet = Literal["current", "behaviour", "reference", "ema"]
"""Weights of a policy: those that learn, those that drew the round, the frozen start, the running average."""

Task = Literal["execution", "consistency", "alignment", "quality"]
"""What a critic scores. ``execution`` and ``consistency`` look at (source, edited), the others at one picture."""

TASKS: tuple[Task, ...] = get_args(Task)
IMAGES_PER_TASK: dict[Task, int] = {"execution": 2, "consistency": 2, "alignment": 1, "quality": 1}
SCORES_1TO5: tuple[int, ...] = (1, 2, 3, 4, 5)


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A picture that is not opened yet: a file below ``root``, or its encoded bytes.

    ``name`` is the relative path as the record writes it (or a label when ``data`` holds the bytes).
    """

    name: str
    root: Path | None = None
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """One scoring record: pictures, what was asked for, and (where known) the score with its reasoning.

    ``images`` holds (source, edited) for the editing tasks and one picture otherwise. ``prompt`` is the edit
    instruction or the text-to-image prompt; it may be empty for ``quality`` only. ``question`` and ``answer`` are the
    verbatim chat turns where the data set fixes them; otherwise a rubric and an answer format write them.
    ``score_1to5`` is None for a record that is still to be judged. ``origin`` says where the record was read
    (``file:line`` or ``file#row``) and appears in every error about it.
    """

    id: str
    task: Task
    images: tuple[ImageRef, ...]
    prompt: str
    score_1to5: int | None = None
    reasoning: str = ""
    question: str = ""
    answer: str = ""
    group: str = ""
    generator: str = ""
    category: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class ScoringRequest:
    """What a critic is asked: opened RGB pictures and the full text of the question (rubric applied)."""

    id: str
    task: Task
    images: tuple[Image, ...]
    question: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A critic's readable answer; ``expected_score_1to5``, if asked for, is the mean under the score tokens."""

    score_1to5: int
    reasoning: str
    text: str
    expected_score_1to5: float | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An answer without a score: its text and why it could not be read. It never becomes a number."""

    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question about pictures with the answer that is taught, and the record that it was made from, if any."""

    id: str
    images: tuple[Image, ...]
    question: str
    answer: str
    judgement: Judgement | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a policy is asked to draw: a text, or an instruction and the picture (``source``) that it is about.

    ``extra`` holds what the file says beyond that (GenEval's ``tag`` and ``include``, the scenes world's request).
    ``origin`` says where it was read (``file:line``) and appears in every error about it.
    """

    id: str
    text: str
    source: ImageRef | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """What a policy's transformer is conditioned on: named tensors (B, ...), one row for each picture."""

    tensors: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def rows(self, index: Sequence[int] | Tensor) -> Conditions:
        """The rows with these numbers, in this order; a number may come several times."""
        import torch

        chosen = torch.as_tensor(index)
        return Conditions({name: value[chosen.to(value.device)] for name, value in self.tensors.items()})

    def to(self, device: torch.device | str) -> Conditions:
        """The same on another device."""
        return Conditions({name: value.to(device) for name, value in self.tensors.items()})

    @staticmethod
    def stack(rows: Sequence[Mapping[str, Tensor]]) -> Conditions:
        """One row for each item; what differs in its first dimension (tokens) is filled up with zeros at the end.

        A policy whose prompts differ in length keeps a mask among its tensors, which is then 0 there.
        """
        import torch

        names = rows[0].keys()
        return Conditions(
            {
                name: torch.nn.utils.rnn.pad_sequence([row[name] for row in rows], batch_first=True)
                if rows[0][name].ndim
                else torch.stack([row[name] for row in rows])
                for name in names
            }
        )


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """One picture that a policy drew: its prompt, the seed of its noise, its latents (C, H, W), and itself."""

    prompt: Prompt
    seed: int
    x0: Tensor
    picture: Image


@dataclass(frozen=True, slots=True, eq=False)
class Rewards:
    """Rewards of some pictures: ``reward_01`` (B,), NaN where ``readable`` (B,) is false, and what they are made of.

    ``scores_01`` holds each dimension's scores in [0, 1], (B,), NaN where that answer could not be read.
    """

    reward_01: Tensor
    readable: Tensor
    scores_01: Mapping[Task, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class PolicyBatch:
    """Pictures of a round to learn from, one row for each picture and sigma.

    ``reward_weight_B`` is DiffusionNFT's r in [0, 1]; rows that are not usable carry no gradient. ``seeds_B`` (int64)
    seed the noise that each row is noised with. ``names`` are the prompts' ids, for errors.
    """

    x0: Tensor
    sigma_B: Tensor
    seeds_B: Tensor
    reward_weight_B: Tensor
    usable_B: Tensor
    conditions: Conditions
    names: tuple[str, ...]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> PolicyBatch:
        """The same on another device."""
        tensors = ("x0", "sigma_B", "seeds_B", "reward_weight_B", "usable_B")
        moved = {name: getattr(self, name).to(device, non_blocking=non_blocking) for name in tensors}
        return replace(self, conditions=self.conditions.to(device), **moved)


@dataclass(frozen=True, slots=True)
class Item:
    """What curation labels: one picture with its prompt, or (source, edited) with the instruction; or a prompt alone.

    ``dataset`` names where it came from; ``extra`` holds what its file says beyond that. ``origin`` says where it was
    read (``file:line``) and appears in every error about it. ``parent`` is the id of the item whose instruction was
    rewritten to make this one, empty for all others.
    """

    id: str
    images: tuple[ImageRef, ...]
    prompt: str
    dataset: str = ""
    group: str = ""
    generator: str = ""
    category: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One question to an annotator: opened RGB pictures (none for words alone) and the full text."""

    item: Item
    stage: str
    question: str
    images: tuple[Image, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """An annotator's text; ``is_cut`` if it ran into the limit of tokens. Tokens are None where nobody counted them."""

    text: str
    is_cut: bool = False
    tokens_in: int | None = None
    tokens_out: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """An annotator will not answer this one call (a picture it cannot take, too long a question); others go on."""

    why: str


@dataclass(frozen=True, slots=True)
class Words:
    """A stage's output in words: a description, a report, a plan, an instruction."""

    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A stage's answer to a question of yes or no, with its reasoning."""

    holds: bool
    reasoning: str


@dataclass(frozen=True, slots=True)
class Rating:
    """A stage's score on one dimension, with its reasoning."""

    task: Task
    score_1to5: int
    reasoning: str


StageOutput = Words | Finding | Rating
"""What a stage of curation makes of an answer."""


@dataclass(frozen=True, slots=True)
class CuratedRecord:
    """A labelled record and where its label comes from: plain JSON (source, stages, annotators, rubric hashes)."""

    judgement: Judgement
    provenance: Mapping[str, Any]
