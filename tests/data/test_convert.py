from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from firm_lightning.data.convert import convert
from firm_lightning.data.firm_bench import FirmBench, FirmBenchWriter
from firm_lightning.data.images import image_bytes
from firm_lightning.data.jsonl_folder import JsonlFolder, JsonlWriter
from firm_lightning.data.parquet_set import ParquetSet
from firm_lightning.data.parquet_writer import ParquetWriter
from firm_lightning.data.reader import Reader
from firm_lightning.data.records import BadRecord
from firm_lightning.data.sharegpt import ShareGPT, ShareGPTWriter
from firm_lightning.data.writing import Writer
from firm_lightning.types import Judgement
from tests.data.samples import edit_record, make_folder, picture_bytes

RECORDS = [
    edit_record(
        id=f"é{number}",
        task=("execution", "consistency")[number % 2],
        score=1 + number % 5,
        reasoning="Seen:\n\"one\" {two}.",
        question=f"<image><image>Judge: {number}?",
        answer=json.dumps({"reasoning": 'Seen:\n"one" {two}.', "score": [1 + number % 5]}),
        group=f"g{number // 2}",
        generator="editor",
        category="colour",
    )
    for number in range(5)
] + [{"id": "q", "task": "quality", "images": ["images/a.png"], "prompt": "", "score": 2, "question": "How good?",
      "answer": "Fine.\n\\boxed{2}", "reasoning": "Fine."}]  # fmt: skip

WRITERS: dict[str, Writer] = {
    "jsonl": JsonlWriter(),
    "parquet": ParquetWriter(),
    "sharegpt": ShareGPTWriter(),
    "firm_bench": FirmBenchWriter(),
}


def _reader(layout: str, folder: Path) -> Reader:
    readers: dict[str, Any] = {
        "jsonl": lambda: JsonlFolder(path=folder),
        "parquet": lambda: ParquetSet(path=folder),
        "sharegpt": lambda: ShareGPT(path=folder / "sharegpt.jsonl"),
        "firm_bench": lambda: FirmBench(path=folder / "firm_bench.jsonl"),
    }
    return readers[layout]()


def _content(reader: Reader, lost: tuple[str, ...] = ()) -> list[tuple[Judgement, list[bytes]]]:
    """Records without origin and file names, with their pictures' bytes instead."""
    blank: dict[str, Any] = dict.fromkeys(lost, "")
    return [(replace(j, images=(), origin="", **blank), [image_bytes(ref) for ref in j.images]) for j in reader]


@pytest.mark.parametrize("first", list(WRITERS))
@pytest.mark.parametrize("second", list(WRITERS))
def test_every_pair_of_layouts_keeps_what_both_hold(tmp_path: Path, first: str, second: str) -> None:
    source = JsonlFolder(path=make_folder(tmp_path / "source", RECORDS))
    lost: tuple[str, ...] = ("reasoning", "question", "answer") if "firm_bench" in (first, second) else ()
    expected = _content(source, lost)
    if second == "sharegpt":
        # A mark for each picture is put in front where the question has none.
        quality, pictures = expected[-1]
        expected[-1] = replace(quality, question="<image>How good?" if not lost else ""), pictures
    if first == "sharegpt" and not lost:
        quality, pictures = expected[-1]
        expected[-1] = replace(quality, question="<image>How good?"), pictures
    one = convert(input=source, output=tmp_path / "one", layout=WRITERS[first])
    if (first, second) == ("firm_bench", "sharegpt"):
        with pytest.raises(BadRecord, match="the record has no question"):
            convert(input=_reader(first, tmp_path / "one"), output=tmp_path / "two", layout=WRITERS[second])
        return
    two = convert(input=_reader(first, tmp_path / "one"), output=tmp_path / "two", layout=WRITERS[second])
    assert _content(_reader(second, tmp_path / "two"), lost) == expected
    assert (one.written, two.written, len(two.issues)) == (6, 6, 0)


@pytest.mark.parametrize("layout", ["jsonl", "sharegpt"])
def test_every_line_has_the_same_keys(tmp_path: Path, layout: str) -> None:
    convert(
        input=JsonlFolder(path=make_folder(tmp_path / "source", RECORDS)),
        output=tmp_path / "out",
        layout=WRITERS[layout],
    )
    (file,) = (tmp_path / "out").glob("*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 6 and len({tuple(line) for line in lines}) == 1
    assert (lines[0]["generator"], lines[5]["generator"]) == ("editor", "")


def test_parquet_says_that_its_images_are_pictures(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "source", RECORDS)
    convert(input=JsonlFolder(path=path), output=tmp_path / "out", layout=ParquetWriter())
    schema = pq.read_schema(tmp_path / "out/part-00000.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names
    assert features["images"] == [{"_type": "Image"}]
    assert features["score"] == {"dtype": "int8", "_type": "Value"}
    assert features["prompt"] == {"dtype": "string", "_type": "Value"}


@pytest.mark.parametrize("layout", ["jsonl", "parquet"])
def test_unjudged_records_stay_unjudged(tmp_path: Path, layout: str) -> None:
    path = make_folder(tmp_path / "source", [edit_record(score=None)])
    convert(input=JsonlFolder(path=path, labelled=False), output=tmp_path / "out", layout=WRITERS[layout])
    output: Any = _reader(layout, tmp_path / "out")
    output.labelled = False
    assert [judgement.score_1to5 for judgement in output] == [None]


def test_bad_records_stop_and_leave_nothing(tmp_path: Path) -> None:
    bad = edit_record(id="bad", images=["images/a.png", "images/cut.png"])
    path = make_folder(tmp_path / "source", [edit_record(), bad])
    (tmp_path / "source/images/cut.png").write_bytes(picture_bytes(side=50)[:-40])
    with pytest.raises(BadRecord) as caught:
        convert(input=JsonlFolder(path=path), output=tmp_path / "out", layout=JsonlWriter())
    assert str(caught.value) == f"{path}:2: 'images/cut.png' is damaged or cut short and cannot be decoded."
    assert [entry.name for entry in tmp_path.iterdir()] == ["source"]


def test_bad_records_are_skipped_counted_and_listed(tmp_path: Path) -> None:
    gone = edit_record(id="gone", images=["images/a.png", "images/no.png"])
    path = make_folder(
        tmp_path / "source", [edit_record(score=0), edit_record(id="good"), gone, edit_record(id="good")]
    )
    done = convert(input=JsonlFolder(path=path, on_bad_record="skip"), output=tmp_path / "out", layout=ParquetWriter())
    assert (done.written, done.issues.total, len(done.issues)) == (1, 4, 3)
    listed = (tmp_path / "out/skipped.txt").read_text().splitlines()
    assert listed[0] == "skipped 3 of 4 records"
    assert listed[-3:] == [
        f"{path}:1: 'score' must be a whole number from 1 to 5, found 0.",
        f"{path}:4: duplicate id 'good' for task 'execution', first seen at {path}:2.",
        f"{path}:3: 'images/no.png' not found in {tmp_path}/source.",
    ]
    note = json.loads((tmp_path / "out/written_by_firm_lightning.json").read_text())
    assert note == {"layout": "ParquetWriter", "written": 1, "skipped": 3, "read": 4}
    nothing = JsonlFolder(path=make_folder(tmp_path / "none", [gone]), on_bad_record="skip")
    with pytest.raises(BadRecord, match=r"^.*/empty: nothing could be written: 1 of 1 records skipped; the first: "):
        convert(input=nothing, output=tmp_path / "empty", layout=JsonlWriter())
    assert not (tmp_path / "empty").exists()


def test_output_is_not_overwritten_unless_told(tmp_path: Path) -> None:
    reader = JsonlFolder(path=make_folder(tmp_path / "source", RECORDS))
    for overwrite in (False, True):
        convert(input=reader, output=tmp_path / "out", layout=JsonlWriter(), overwrite=overwrite)
    with pytest.raises(FileExistsError, match=r"out exists\. Choose another output"):
        convert(input=reader, output=tmp_path / "out", layout=JsonlWriter())
    with pytest.raises(FileExistsError, match="was not written by this program"):
        convert(input=reader, output=tmp_path / "source", layout=JsonlWriter(), overwrite=True)
    assert len(JsonlFolder(path=tmp_path / "out")) == 6


def test_parquet_is_cut_into_small_groups_and_files(tmp_path: Path) -> None:
    records = [edit_record(id=str(number), reasoning="x" * 600_000) for number in range(8)]
    reader = JsonlFolder(path=make_folder(tmp_path / "source", records))
    convert(input=reader, output=tmp_path / "out", layout=ParquetWriter(row_group_mb=1, file_mb=2))
    files = sorted((tmp_path / "out").glob("*.parquet"))
    assert [file.name for file in files] == ["part-00000.parquet", "part-00001.parquet"]
    assert [pq.ParquetFile(file).metadata.num_row_groups for file in files] == [2, 2]
    assert [judgement.id for judgement in ParquetSet(path=tmp_path / "out")] == [str(number) for number in range(8)]
    with pytest.raises(ValueError, match=r"^1 <= row_group_mb <= file_mb is needed, found 9 and 8$"):
        ParquetWriter(row_group_mb=9, file_mb=8)
