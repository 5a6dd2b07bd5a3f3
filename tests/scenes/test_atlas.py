"""The sprite atlas: what is in it, how it is drawn, and what is refused."""

from __future__ import annotations

import colorsys
import hashlib
import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from firm_lightning.scenes.atlas import Atlas, AtlasError, tinted

ROOT = Path(__file__).parents[2]
SPRITES = ROOT / "data" / "sprites"
GENEVAL_METADATA = ROOT.parent / "shared" / "data" / "prompts" / "geneval_test_metadata.jsonl"
# fmt: off
GENEVAL_NOT_DRAWABLE = {
    "baseball bat", "baseball glove", "bench", "dining table", "fire hydrant", "fork", "hair drier", "microwave",
    "oven", "parking meter", "person", "refrigerator", "sink", "snowboard", "surfboard", "toaster", "tv remote",
}
# fmt: on


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return Atlas.load()


@pytest.fixture(scope="module")
def build_atlas() -> ModuleType:
    pytest.importorskip("rich")
    spec = importlib.util.spec_from_file_location("build_atlas", SPRITES / "build_atlas.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def copy_atlas(folder: Path) -> Path:
    for name in ("index.json", "atlas.webp"):
        shutil.copyfile(SPRITES / name, folder / name)
    return folder


def test_default_atlas_is_read_once(atlas: Atlas) -> None:
    assert Atlas.load() is atlas
    assert len(atlas.names) == len(set(atlas.names)) == 159
    assert atlas.styles == ("3d", "flat", "noto")


def test_every_sprite_fills_its_tile_in_every_style(atlas: Atlas) -> None:
    for style in atlas.styles:
        for name in atlas.names:
            picture = atlas.picture(name, style)
            assert picture.shape == (48, 48, 4)
            assert picture.dtype == np.uint8
            alpha = picture[..., 3]
            rows, columns = np.flatnonzero(alpha.max(axis=1) >= 8), np.flatnonzero(alpha.max(axis=0) >= 8)
            height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
            assert 44 <= max(height, width) <= 46, (style, name)
            # Centred to within a pixel: the empty borders on opposite sides are alike.
            assert abs(rows[0] - (47 - rows[-1])) <= 2, (style, name)
            assert abs(columns[0] - (47 - columns[-1])) <= 2, (style, name)
            assert alpha[0].max() == alpha[-1].max() == alpha[:, 0].max() == alpha[:, -1].max() == 0


def test_styles_differ_visibly(atlas: Atlas) -> None:
    for name in atlas.names:
        flattened = []
        for style in atlas.styles:
            picture = atlas.picture(name, style).astype(float)
            flattened.append(picture[..., :3] * picture[..., 3:] / 255 + 255 - picture[..., 3:])
        for first, second in ((0, 1), (0, 2), (1, 2)):
            assert np.abs(flattened[first] - flattened[second]).mean() > 1.5, (name, first, second)


def test_no_two_objects_share_a_picture(atlas: Atlas) -> None:
    digests = {hashlib.sha256(atlas.picture(name, style)).digest() for name in atlas.names for style in atlas.styles}
    assert len(digests) == len(atlas.names) * len(atlas.styles)


def test_sizes_keep_the_picture(atlas: Atlas) -> None:
    for size_px in (1, 17, 24, 48, 96):
        assert atlas.picture("dog", "flat", size_px=size_px).shape == (size_px, size_px, 4)
    # Halving by block means of premultiplied colour is an independent reference for antialiased resizing.
    full = atlas.picture("dog", "flat").astype(float) / 255
    premultiplied = np.concatenate([full[..., :3] * full[..., 3:], full[..., 3:]], axis=-1)
    means = premultiplied.reshape(24, 2, 24, 2, 4).mean(axis=(1, 3))
    half = atlas.picture("dog", "flat", size_px=24).astype(float) / 255
    half_premultiplied = np.concatenate([half[..., :3] * half[..., 3:], half[..., 3:]], axis=-1)
    assert np.abs(half_premultiplied - means).mean() < 0.02


def test_invisible_colour_does_not_reach_the_rim() -> None:
    """A red disc in a field of invisible white stays pure red at every visible pixel when made smaller."""
    tiles = np.full((1, 48, 48, 4), (255, 255, 255, 0), dtype=np.uint8)
    tiles[0, 12:35, 12:35] = (255, 0, 0, 255)
    entry = {"name": "disc", "plural": "discs", "article": "a", "group": "toy", "geneval": False, "held_out": False}
    atlas = Atlas(index={"styles": ["plain"], "objects": [entry]}, tiles_THW4=tiles)
    picture = atlas.picture("disc", "plain", size_px=19)
    visible = picture[picture[..., 3] >= 32]
    assert len(visible) > 80
    assert visible[:, 0].min() == 255
    assert visible[:, 1:3].max() == 0


def test_picture_is_a_copy(atlas: Atlas) -> None:
    picture = atlas.picture("cat", "noto")
    before = picture.copy()
    picture[:] = 0
    assert np.array_equal(atlas.picture("cat", "noto"), before)


@pytest.mark.parametrize(
    "tint", [(214, 40, 40), (38, 84, 220), (30, 160, 60), (250, 205, 20), (140, 50, 170), (250, 125, 15)]
)
def test_tint_gives_the_asked_hue(atlas: Atlas, tint: tuple[int, int, int]) -> None:
    asked = colorsys.rgb_to_hsv(*tint)[0] * 2 * np.pi
    for name in ("dog", "zebra", "tv", "banana", "top hat", "toilet"):
        for style in atlas.styles:
            picture = atlas.picture(name, style, size_px=32, tint=tint)
            opaque = picture[picture[..., 3] >= 250][:, :3]
            hues = np.array([colorsys.rgb_to_hsv(*pixel)[0] for pixel in opaque.tolist()]) * 2 * np.pi
            mean = np.angle(np.exp(1j * hues).mean())
            assert abs(np.angle(np.exp(1j * (mean - asked)))) < np.deg2rad(2), (name, style)


def test_tint_keeps_alpha_and_the_order_of_light(atlas: Atlas) -> None:
    plain, blue = atlas.picture("bear", "3d"), atlas.picture("bear", "3d", tint=(38, 84, 220))
    assert np.array_equal(plain[..., 3], blue[..., 3])
    opaque = plain[..., 3] == 255
    before = (plain[opaque][:, :3] @ [0.299, 0.587, 0.114]).round(3)
    after = (blue[opaque][:, :3] @ [0.299, 0.587, 0.114]).round(3)
    order = np.argsort(before, kind="stable")
    assert np.diff(after[order]).min() > -1.5  # rounding of three channels


def test_tint_ramp_by_hand() -> None:
    """Black, middle grey, white: luma 0, 128/255, 1 with the median in the middle."""
    row = np.array([[[0, 0, 0, 255], [128, 128, 128, 255], [255, 255, 255, 255]]], dtype=np.uint8)
    result = tinted(row, (200, 100, 0))
    # 0.25 * tint; tint; 0.4 * tint + 0.6 * 255
    assert result[0, :, :3].tolist() == [[50, 25, 0], [200, 100, 0], [233, 193, 153]]


def test_nouns(atlas: Atlas) -> None:
    for name in atlas.names:
        sprite = atlas.info(name)
        assert sprite.name == name
        assert re.fullmatch(r"[a-z][a-z -]*[a-z]", name)
        assert sprite.article == ("an" if name[0] in "aeiou" else "a")
        assert sprite.plural
        assert sprite.group
    assert atlas.info("knife").plural == "knives"
    assert atlas.info("sheep").plural == "sheep"
    assert atlas.info("umbrella").article == "an"
    assert atlas.info("truck").group == "vehicle"


def test_geneval_names(atlas: Atlas) -> None:
    marked = {name for name in atlas.names if atlas.info(name).geneval}
    assert len(marked) == 63
    if not GENEVAL_METADATA.is_file():
        pytest.skip("GenEval's metadata is not beside the checkout")
    lines = GENEVAL_METADATA.read_text(encoding="utf-8").splitlines()
    classes = {item["class"] for line in lines for item in json.loads(line)["include"]}
    assert len(classes) == 80
    assert marked == classes - GENEVAL_NOT_DRAWABLE
    assert not (set(atlas.names) - marked) & classes


def test_held_out_split(atlas: Atlas) -> None:
    held_out, training = set(atlas.held_out_names), set(atlas.training_names)
    assert len(atlas.held_out_names) == 30
    assert held_out | training == set(atlas.names)
    assert not held_out & training
    assert sum(atlas.info(name).geneval for name in held_out) == 12
    groups = {atlas.info(name).group for name in atlas.names}
    assert {atlas.info(name).group for name in held_out} == groups
    assert {atlas.info(name).group for name in training} == groups


def test_index_is_what_the_script_makes(build_atlas: ModuleType) -> None:
    index = json.loads((SPRITES / "index.json").read_text(encoding="utf-8"))
    rows = build_atlas.read_objects(SPRITES / "objects.tsv")
    code_points = {row["emoji"]: entry["code_point"] for row, entry in zip(rows, index["objects"], strict=True)}
    assert build_atlas.make_index(rows, code_points, (SPRITES / "atlas.webp").read_bytes()) == index


def test_tile_is_trimmed_and_centred(build_atlas: ModuleType) -> None:
    picture = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    picture.paste((10, 20, 30, 255), (60, 5, 83, 97))  # 23 x 92, far off the middle
    tile = np.asarray(build_atlas.to_tile(picture))
    rows, columns = np.flatnonzero(tile[..., 3].max(axis=1)), np.flatnonzero(tile[..., 3].max(axis=0))
    assert (rows[0], rows[-1]) == (1, 46)
    assert (columns[0], columns[-1]) == (18, 29)  # round(23 / 2) = 12 wide


def test_changed_package_is_refused(build_atlas: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "emojibase-data-17.0.0.tgz"
    path.write_bytes(b"other")
    with pytest.raises(build_atlas.BuildError) as caught:
        build_atlas.open_package(build_atlas.LABELS, tmp_path)
    assert str(caught.value) == (
        f"{path}: SHA-256 is {hashlib.sha256(b'other').hexdigest()}, expected {build_atlas.LABELS.sha256}; "
        "delete the file to fetch it again"
    )


def test_other_picture_is_refused(tmp_path: Path) -> None:
    folder = copy_atlas(tmp_path)
    path = folder / "atlas.webp"
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes()[:-1] + b"\x00\x01")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(AtlasError) as caught:
        Atlas.load(folder)
    assert str(caught.value) == (
        f"{path}: SHA-256 is {found}, index.json expects {expected}; the file is damaged or belongs to another index: "
        "restore both, or build the atlas with: python data/sprites/build_atlas.py --packages FOLDER"
    )


def test_missing_and_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AtlasError) as caught:
        Atlas.load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'index.json'}: no such file; build the atlas with: "
        "python data/sprites/build_atlas.py --packages FOLDER"
    )
    folder = copy_atlas(tmp_path)
    (folder / "index.json").write_text("{", encoding="utf-8")
    with pytest.raises(AtlasError, match=re.escape(f"{folder / 'index.json'}: not readable as JSON (Expecting")):
        Atlas.load(folder)


def test_index_without_its_keys_is_refused(tmp_path: Path) -> None:
    path = copy_atlas(tmp_path) / "index.json"
    path.write_text('{"tile_px": 48, "columns": 24, "objects": []}', encoding="utf-8")
    with pytest.raises(AtlasError) as caught:
        Atlas.load(tmp_path)
    assert str(caught.value) == (
        f"{path}: no styles, atlas_sha256 in it; build the atlas with: "
        "python data/sprites/build_atlas.py --packages FOLDER"
    )


def test_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    folder = copy_atlas(tmp_path)
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    (folder / "index.json").write_text(json.dumps({**index, "columns": 12}), encoding="utf-8")
    with pytest.raises(AtlasError) as caught:
        Atlas.load(folder)
    assert str(caught.value) == (f"{folder / 'atlas.webp'}: picture is (1152, 960) pixels, expected (576, 1920)")


def test_unknown_names_are_refused(atlas: Atlas) -> None:
    cases = {
        ("girafe", "3d"): "no sprite is named 'girafe'; did you mean 'giraffe'?",
        ("dog", "notto"): "no drawing style is named 'notto'; did you mean 'noto'?",
        ("dog", "oil"): "no drawing style is named 'oil'; known: 3d, flat, noto",
    }
    for (name, style), message in cases.items():
        with pytest.raises(AtlasError) as caught:
            atlas.picture(name, style)
        assert str(caught.value) == message


def test_size_and_tint_out_of_range_are_refused(atlas: Atlas) -> None:
    for size_px in (0, 1025):
        with pytest.raises(AtlasError) as caught:
            atlas.picture("dog", "3d", size_px=size_px)
        assert str(caught.value) == f"size_px is {size_px}, must be 1 to 1024"
    with pytest.raises(AtlasError) as caught:
        atlas.picture("dog", "3d", tint=(0, 0, 256))
    assert str(caught.value) == "tint is (0, 0, 256), must be (red, green, blue) in 0..255"


def test_folder_is_small_and_names_its_licences() -> None:
    files = [path for path in SPRITES.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2_000_000
    text = (SPRITES / "LICENSES.md").read_text(encoding="utf-8")
    index = json.loads((SPRITES / "index.json").read_text(encoding="utf-8"))
    assert len(index["packages"]) == 4
    for package in index["packages"]:
        assert f"| {package['name']} | {package['version']} | {package['licence']} |" in text
    assert text.count("Permission is hereby granted, free of charge") == 3
    assert "END OF TERMS AND CONDITIONS" in text
