from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from firm_lightning.data import fingerprints
from firm_lightning.data.fingerprints import fingerprint, named_paths


def test_a_file_has_the_sha256_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"abc")
    # The value of FIPS 180-2, appendix B.1.
    expected = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert fingerprint(tmp_path / "a.jsonl") == expected


def test_of_a_large_file_head_tail_and_size_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "WHOLE_BYTES", 4)
    path = tmp_path / "a.parquet"
    path.write_bytes(b"ab--cd")
    assert fingerprint(path) == f"sha256-sampled:{hashlib.sha256(b'6ab' + b'cd').hexdigest()}"
    path.write_bytes(b"ab++cd")
    assert fingerprint(path) == f"sha256-sampled:{hashlib.sha256(b'6ab' + b'cd').hexdigest()}"
    for other in (b"xb--cd", b"ab--cx", b"ab---cd"):
        path.write_bytes(other)
        assert fingerprint(path) != f"sha256-sampled:{hashlib.sha256(b'6ab' + b'cd').hexdigest()}"


def test_of_a_folder_names_sizes_and_texts_count(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    (folder / "train.jsonl").write_text("one")
    (folder / "images" / "a.png").write_bytes(b"12")
    first = fingerprint(folder)
    assert first.startswith("sha256-listing:")
    folder = folder.rename(tmp_path / "moved")
    assert fingerprint(folder) == first
    (folder / "train.jsonl").write_text("two")
    assert fingerprint(folder) != first
    (folder / "train.jsonl").write_text("one")
    (folder / "images" / "a.png").write_bytes(b"123")
    assert fingerprint(folder) != first
    (folder / "images" / "a.png").write_bytes(b"12")
    (folder / "images" / "a.png").rename(folder / "images" / "b.png")
    assert fingerprint(folder) != first


def test_paths_of_a_config_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("prompts", "alignment", "cache"):
        Path(name).mkdir()
    Path("prompts/a.txt").write_text("x")
    config = {
        "train": [{"path": "prompts"}, {"path": "elsewhere"}],
        "rubrics": {"alignment": "alignment", "quality": "prompts/a.txt"},
        "cache_folder": "cache",
        "critic": {"api_key_file": "prompts/a.txt"},
        "start": {"path": "stabilityai/stable-diffusion-3.5-medium"},
        "image_root": "prompts",
        "label": "two\nlines/x",
        "seed": 3,
        "val": None,
    }
    assert list(named_paths(config, "data")) == [
        ("data.train[0].path", Path("prompts")),
        ("data.rubrics.quality", Path("prompts/a.txt")),
        ("data.image_root", Path("prompts")),
    ]
