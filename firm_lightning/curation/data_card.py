"""The card of a set: how many records of each score, where they come from, what was left out, and how to read it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from firm_lightning.curation.split import SPLITS
from firm_lightning.curation.summary import UNNAMED, Summary, left_out_rows, split_rows

CARD_NAME = "README.md"
SHOWN_REASONS = 20
"""Of what the run set aside, the most frequent reasons; the rest is one row."""
LONGEST_CELL = 200
_HUB_SPLITS = {"train": "train", "val": "validation", "test": "test"}


def write_card(folder: Path, summary: Summary, *, title: str, licence: str, layouts: Sequence[str]) -> None:
    """Write ``README.md`` into the folder of a set.

    Args:
        folder: The set, all its layouts written.
        summary: Its numbers.
        title: What it is called.
        licence: Under which licence it is given, by its SPDX name or the hub's; empty if that is not said.
        layouts: Names of the folders with further layouts.
    """
    lines = [
        *_front(folder, summary, title, licence, layouts),
        f"# {_one_line(title)}",
        "",
        f"{summary.written:,} judgements of pictures for training and testing a critic. The scores are an annotator's,"
        " not people's: who scored stands below.",
        "",
        *_scores(summary),
        *_section("Splits", _splits(summary)),
        *_section("Left out", _left_out(summary)),
        *_section("Balance", _balance(summary)),
        *_section("Annotation", _annotation(summary)),
        *_section("Files", _files(summary, layouts)),
        *_section("Licence", [_one_line(licence) or "Not stated.", ""]),
    ]
    (folder / CARD_NAME).write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def _front(folder: Path, summary: Summary, title: str, licence: str, layouts: Sequence[str]) -> list[str]:
    """Front matter as the hub reads it; JSON texts are YAML texts."""
    lines = ["---", f"pretty_name: {json.dumps(title, ensure_ascii=False)}"]
    if licence:
        lines.append(f"license: {json.dumps(licence, ensure_ascii=False)}")
    for layout in layouts:
        splits = [split for split in SPLITS if any((folder / layout / split).glob("*.parquet"))]
        if splits:
            lines += ["configs:", "- config_name: default", "  data_files:"]
            for split in splits:
                path = json.dumps(f"{layout}/{split}/*.parquet", ensure_ascii=False)
                lines += [f"  - split: {_HUB_SPLITS[split]}", f"    path: {path}"]
            break
    return [*lines, "---"]


def _scores(summary: Summary) -> list[str]:
    head = ["score", *summary.tasks]
    lines = ["## Records by score", "", *_table(head, summary.score_rows())]
    for split in SPLITS:
        if summary.in_split(split):
            lines += [f"### {split}", "", *_table(head, summary.score_rows(split=split))]
    if len(summary.datasets) > 1 or summary.datasets != ("",):
        for dataset in summary.datasets:
            rows = summary.score_rows(dataset=dataset)
            lines += [f"### From {_one_line(dataset) or UNNAMED}", "", *_table(head, rows)]
    return lines


def _splits(summary: Summary) -> list[str]:
    alike = summary.alike
    prompts = "identical prompts and instructions" if alike.instructions else "identical prompts of text-to-image"
    unjoined = "" if alike.instructions else " Edits with one instruction may stand in several."
    return [
        *_table(["split", "share asked for", "records"], split_rows(summary)),
        f"Records that are alike never stand in two splits: {alike.groups:,} groups, the largest of"
        f" {alike.largest_group:,} records, joined by near-duplicate pictures, {prompts}, item and group.{unjoined}"
        f" Of {alike.pictures:,} different pictures {alike.like_another:,} look like another one;"
        f" {alike.faint:,} with hardly any contrast are alike only if equal, and {alike.blank:,} of one colour all over"
        " joined nothing.",
        "",
        *([_one_line(summary.warning), ""] if summary.warning else []),
    ]


def _left_out(summary: Summary) -> list[str]:
    lines = [f"{summary.found:,} records were labelled, {summary.written:,} are in the set.", "", _held(summary), ""]
    if summary.left_out:
        lines += _table(["by", "records", "for example"], left_out_rows(summary))
    if summary.rejected:
        lines += ["Set aside during labelling, before there was a record:", ""]
        lines += _table(["stage", "why", "outputs"], _rejected_rows(summary.rejected))
    return lines


def _held(summary: Summary) -> str:
    """Which benchmarks the records were held against, and what came of it."""
    checked = summary.checked
    if checked is None:
        return "Held against no benchmark."
    names = ", ".join(_one_line(name) for name in checked.benchmarks)
    unopened = f" {checked.unopened:,} pictures there could not be opened." if checked.unopened else ""
    return f"Held against {names} (prompts of text-to-image, pictures): {len(checked.leaks):,} left out.{unopened}"


def _rejected_rows(rejected: Mapping[tuple[str, str], int]) -> list[list[str]]:
    order = sorted(rejected.items(), key=lambda entry: (-entry[1], entry[0]))
    rows = [[stage, why, f"{count:,}"] for (stage, why), count in order[:SHOWN_REASONS]]
    if rest := order[SHOWN_REASONS:]:
        rows.append(["", f"{len(rest):,} other reasons", f"{sum(count for _, count in rest):,}"])
    return rows


def _balance(summary: Summary) -> list[str]:
    rows = summary.balance_rows()
    if not rows:
        return []
    advice = [f"- {_one_line(sentence)}." for sentence in summary.advice]
    told = "`lacks` is how many more a score needs for its share if no record were left out."
    return [*_table(["task", "score", "found", "kept", "lacks"], rows), told, "", *advice, *([""] if advice else [])]


def _annotation(summary: Summary) -> list[str]:
    rows = [
        [use.stage, use.annotator or "-", f"`{use.prompt_sha256}`" if use.prompt_sha256 else "-", f"{count:,}"]
        for use, count in sorted(summary.stages.items())
    ]
    made = Counter(summary.packages)
    lines = _table(["stage", "annotator", "SHA-256 of its prompt", "records"], rows) if rows else []
    if made:
        lines += [f"Made by {', '.join(_one_line(name) for name in sorted(made))}.", ""]
    return lines


def _files(summary: Summary, layouts: Sequence[str]) -> list[str]:
    splits = ", ".join(f"`{split}/`" for split in SPLITS if summary.in_split(split))
    left_out = "`dropped.jsonl`" if summary.checked is None else "`dropped.jsonl`, `leaked.jsonl`"
    further = [f"- `{name}/`: the same splits in another layout." for name in layouts]
    return [
        f"- {splits}: `judgements.jsonl`, one record a line, and its pictures in `images/`.",
        *further,
        "- `provenance.jsonl`: for each record its split, its source and what every stage answered.",
        f"- {left_out}: labelled records that are not in the set, each with the reason.",
        "",
    ]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines] if lines else []


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(_one_line(cell).replace('|', chr(92) + '|') for cell in cells)} |"

    return [line(head), "|" + "---|" * len(head), *(line(row) for row in rows), ""]


def _one_line(text: str) -> str:
    """Text from data on one line, cut to what a table can show, without what Markdown takes for HTML."""
    flat = " ".join(text.split()).replace("<", "&lt;")
    return flat if len(flat) <= LONGEST_CELL else flat[: LONGEST_CELL - 3] + "..."
