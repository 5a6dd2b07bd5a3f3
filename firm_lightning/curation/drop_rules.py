"""Rules that name labelled records not to be learned from. Each looks at one thing; a set may use several of them."""

from __future__ import annotations

import difflib
import functools
import json
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from firm_lightning.curation.audit_set import AuditSet
from firm_lightning.curation.contradictions import contradiction
from firm_lightning.data.reader import Reader
from firm_lightning.data.records import BadRecord
from firm_lightning.types import CuratedRecord, Judgement

_log = logging.getLogger(__name__)


@runtime_checkable
class DropRule(Protocol):
    """Says which records are to be left out."""

    def dropped(self, records: Sequence[CuratedRecord]) -> dict[str, str]:
        """The id of each record to leave out, with the reason in words; the others are not in it."""
        ...


class Disagreement:
    """Drops what a second annotator scored otherwise.

    Records are paired by id and task, and only if both were asked about the same prompt (an instruction that each run
    rewrote for itself is another question). A record that the other has not, or has not scored, stays; how many were
    compared is logged if it is not all.

    Args:
        other: The second annotator's records: the folder of its run (all that it labelled), a ``set`` folder, a JSONL
            file, or a reader.
        most: The largest difference that is kept, in points, 0 to 3.
    """

    def __init__(self, *, other: Reader | Path, most: int = 1) -> None:
        if not 0 <= most <= 3:
            raise ValueError(f"most is {most}; scores from 1 to 5 differ by 4 at most, so give 0 to 3.")
        self.other = other
        self.most = most

    def dropped(self, records: Sequence[CuratedRecord]) -> dict[str, str]:
        """See ``DropRule``.

        Raises:
            BadRecord: The other's records cannot be read, or none of them can be compared.
        """
        asked = {
            (own.task, own.id): (hash(own.prompt), own.score_1to5) for own in (record.judgement for record in records)
        }
        compared = 0
        found: dict[str, str] = {}
        for second in self._others():
            prompt, score = asked.pop((second.task, second.id), (0, None))
            if prompt != hash(second.prompt) or score is None or second.score_1to5 is None:
                continue
            compared += 1
            if abs(score - second.score_1to5) > self.most:
                found[second.id] = f"score {score}, but {second.score_1to5} from the second annotator"
        self._tell(compared, len(records))
        return found

    def _tell(self, compared: int, count: int) -> None:
        name = AuditSet(source=self.other).name
        if count and not compared:
            problem = f"nothing to compare: no score for the same id, task and prompt as one of the {count:,} records"
            raise BadRecord(name, problem, "Give the second annotator's run over the same items.")
        if compared < count:
            _log.warning("compared %d of %d records with %s", compared, count, name)

    def _others(self) -> Iterator[Judgement]:
        # A run keeps all its labels, of which its set, balanced and divided, holds only some.
        if isinstance(self.other, Path) and (labels := _run_labels(self.other)).is_file():
            yield from _read_labels(labels)
        else:
            yield from (record.judgement for record in AuditSet(source=self.other))


def _run_labels(folder: Path) -> Path:
    from firm_lightning.curation.run_folder import RunFolder

    return RunFolder(folder).blocks


def _read_labels(path: Path) -> Iterator[Judgement]:
    """What a run labelled; its file is only read, whether that run goes on or was killed."""
    from firm_lightning.curation.outputs import record_from_json

    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.startswith(b'{"record": ') or not line.endswith(b"\n"):  # other lines, or one half written
                continue
            try:
                yield record_from_json(json.loads(line)["record"]).judgement
            except (ValueError, TypeError, KeyError) as error:
                raise BadRecord(f"{path}:{number}", "this is no label of a run", "The file is damaged.") from error


class ContradictsItself:
    """Drops a record whose reasoning states another score than its own, or the opposite of it.

    Only what is beyond doubt counts (``firm_lightning.curation.contradictions`` says what that is); English only. The
    stage ``Score`` refuses such answers itself: the rule is for records of an earlier version or of another stage.
    """

    def dropped(self, records: Sequence[CuratedRecord]) -> dict[str, str]:
        """See ``DropRule``."""
        found: dict[str, str] = {}
        for judgement in (record.judgement for record in records):
            if judgement.score_1to5 is None:
                continue
            why = contradiction(judgement.reasoning, judgement.task, judgement.score_1to5)
            if why:
                found[judgement.id] = why
        return found


class ReasoningLength:
    """Drops reasoning that is too short to be one, or that rambles.

    Args:
        fewest: Fewest characters that are kept, blanks at both ends not counted.
        most: Most characters that are kept.
    """

    def __init__(self, *, fewest: int = 20, most: int = 6_000) -> None:
        if not 0 <= fewest <= most:
            raise ValueError(f"fewest is {fewest} and most is {most}; give 0 <= fewest <= most.")
        self.fewest = fewest
        self.most = most

    def dropped(self, records: Sequence[CuratedRecord]) -> dict[str, str]:
        """See ``DropRule``."""
        found: dict[str, str] = {}
        for judgement in (record.judgement for record in records):
            length = len(judgement.reasoning.strip())
            if length < self.fewest:
                found[judgement.id] = f"the reasoning has {length:,} characters, fewer than {self.fewest:,}"
            elif length > self.most:
                found[judgement.id] = f"the reasoning has {length:,} characters, more than {self.most:,}"
        return found


class LeaksFormat:
    r"""Drops reasoning that holds pieces of the answer form: JSON keys, ``\boxed{``, thinking tags, special tokens.

    Taught as reasoning they would come twice in an answer, and its score could be read from the wrong place. The bare
    words (``the score``, ``boxed``) are no such piece, nor is a code fence in a picture's text. The stage ``Score``
    refuses such answers itself: the rule is for records of an earlier version or of another stage.
    """

    PIECES = re.compile(
        r"\\?boxed\s*\{"
        r"|\\?[\"'](?:reasoning|score)\\?[\"']\s*:"
        r"|</?think(?:ing)?>|</?answer>"
        r"|<\|[^|<>\s]{1,40}\|>|<(?:end|start)_of_turn>"
        r"|```json",
        re.I,
    )

    def dropped(self, records: Sequence[CuratedRecord]) -> dict[str, str]:
        """See ``DropRule``."""
        found: dict[str, str] = {}
        for judgement in (record.judgement for record in records):
            piece = self.PIECES.search(judgement.reasoning)
            if piece:
                found[judgement.id] = f"the reasoning holds a piece of the answer form: {piece[0]}"
        return found


class MostlyOtherScript:
    """Drops reasoning that is mostly in another script, as when an annotator falls into another language.

    Letters alone count: numbers, marks and pictograms belong to no script. A word quoted from a picture does no harm.

    Args:
        scripts: Scripts allowed, by the first word of their letters' Unicode names, for example LATIN, CYRILLIC,
            ARABIC, DEVANAGARI; Chinese is CJK, Korean HANGUL, Japanese all of CJK, HIRAGANA and KATAKANA.
        most: Largest share of letters in other scripts that is kept, 0 to 1.
    """

    def __init__(self, *, scripts: tuple[str, ...] | list[str] = ("LATIN",), most: float = 0.5) -> None:
        if not 0 <= most <= 1:
            raise ValueError(f"most is {most:g}; a share from 0 to 1 is needed.")
        if not scripts:
            raise ValueError("scripts is empty; name at least one, for example LATIN.")
        for script in scripts:
            if script not in _known_scripts():
                near = difflib.get_close_matches(script.upper(), _known_scripts(), n=1)
                hint = f"did you mean {near[0]}?" if near else "give the first word of its letters' Unicode names."
                raise ValueError(f"script {script} is not known; {hint}")
        self.scripts = tuple(scripts)
        self.most = most

    def dropped(self, records: Sequence[CuratedRecord]) -> dict[str, str]:
        """See ``DropRule``."""
        found: dict[str, str] = {}
        for judgement in (record.judgement for record in records):
            counts = letters_by_script(judgement.reasoning)
            other = {script: count for script, count in counts.items() if script not in self.scripts}
            if sum(other.values()) > self.most * sum(counts.values()):
                share = sum(other.values()) / sum(counts.values())
                worst = max(other, key=lambda script: other[script])
                found[judgement.id] = f"{share:.0%} of the reasoning's letters are in other scripts, most in {worst}"
        return found


def letters_by_script(text: str) -> Counter[str]:
    """How many letters of each script a text has. Full-width and ornamental forms count as the letters they show."""
    counts: Counter[str] = Counter()
    for char, count in Counter(unicodedata.normalize("NFKC", text)).items():
        if unicodedata.category(char) in ("Lu", "Ll", "Lt", "Lo"):
            counts[unicodedata.name(char, "UNNAMED").split()[0]] += count
    return counts


@functools.cache
def _known_scripts() -> frozenset[str]:
    # The scripts in use stand below U+3400, between U+A000 and U+ABFF, and begin CJK and Hangul's large blocks.
    places = (*range(0x41, 0x3400), 0x4E00, *range(0xA000, 0xAC01))
    letters = (chr(place) for place in places if unicodedata.category(chr(place)) in ("Lu", "Ll", "Lt", "Lo"))
    return frozenset(unicodedata.name(letter, "UNNAMED").split()[0] for letter in letters)
