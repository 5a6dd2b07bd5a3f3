from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from firm_lightning.data.images import open_image, open_images
from firm_lightning.data.records import BadRecord
from firm_lightning.types import ImageRef, Judgement
from tests.data.samples import picture_bytes

SHARED = Path(__file__).parents[3] / "shared"
READABLE = "Readable are JPEG, PNG, WEBP, GIF, BMP, TIFF."


def encode(image: Image.Image, kind: str, **options: object) -> ImageRef:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return ImageRef("x", data=buffer.getvalue())


def problem(ref: ImageRef, **limits: int) -> str:
    with pytest.raises(BadRecord) as caught:
        open_image(ref, origin="d.jsonl:3", **limits)
    return str(caught.value)


def png_head(width: int, height: int) -> bytes:
    """A PNG that only claims its size: nothing of its pixels is there."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) for body in (head, b"IDAT"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_comes_back_rgb(kind: str) -> None:
    image = open_image(ImageRef("x", data=picture_bytes((200, 30, 40), kind)))
    assert (image.mode, image.size) == ("RGB", (6, 6))
    assert np.abs(np.asarray(image, dtype=int) - [200, 30, 40]).max() <= 3


def test_pixel_formats_become_8_bit_rgb() -> None:
    deep = np.array([[0, 257, 32_896, 65_535]], dtype=np.uint16)
    assert np.asarray(open_image(encode(Image.fromarray(deep), "PNG")))[0].tolist() == [
        [n] * 3 for n in (0, 1, 128, 255)
    ]
    assert np.asarray(open_image(encode(Image.fromarray(deep), "TIFF")))[0, 2].tolist() == [128] * 3
    assert open_image(encode(Image.new("L", (2, 2), 77), "PNG")).getpixel((0, 0)) == (77, 77, 77)
    assert open_image(encode(Image.new("1", (2, 2), 1), "PNG")).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("RGB", (2, 2), (1, 2, 3)).convert("P", palette=Image.Palette.ADAPTIVE)
    assert open_image(encode(palette, "PNG")).getpixel((1, 1)) == (1, 2, 3)
    cmyk = open_image(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")).getpixel((4, 4))
    assert cmyk[0] >= 250
    assert max(cmyk[1:]) <= 5
    message = problem(encode(Image.new("F", (2, 2), 0.5), "TIFF"))
    assert message == "d.jsonl:3: 'x' is damaged or cut short and cannot be decoded."


def test_transparency_lies_over_white() -> None:
    half = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    half.putpixel((1, 0), (0, 0, 0, 51))  # 20 % black over white: 204
    image = open_image(encode(half, "PNG"))
    assert [image.getpixel((0, 0)), image.getpixel((1, 0))] == [(255, 255, 255), (204, 204, 204)]
    keyed = Image.new("RGB", (1, 1), (9, 9, 9))
    assert open_image(encode(keyed, "PNG", transparency=(9, 9, 9))).getpixel((0, 0)) == (255, 255, 255)
    assert open_image(encode(Image.new("LA", (1, 1), (0, 0)), "PNG")).getpixel((0, 0)) == (255, 255, 255)


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    for kind in ("GIF", "WEBP", "PNG"):
        options = {"save_all": True, "append_images": frames[1:], "duration": 50}
        red, _, blue = open_image(encode(frames[0], kind, **options)).getpixel((1, 1))
        assert red >= 250
        assert blue <= 5


def test_exif_orientation_is_applied() -> None:
    wide = Image.new("RGB", (16, 8), (255, 255, 255))
    wide.paste((0, 0, 0), (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: the left half comes to the top
    image = open_image(encode(wide, "JPEG", exif=exif, quality=95))
    assert image.size == (8, 16)
    assert image.getpixel((4, 2))[0] < 20
    assert image.getpixel((4, 13))[0] > 235


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_limits_are_checked_before_decoding() -> None:
    bomb = ImageRef("bomb.png", data=png_head(10_000, 10_000))
    assert problem(bomb) == "d.jsonl:3: 'bomb.png' is 10000 x 10000, more than max_pixels 67,108,864."
    assert problem(ImageRef("b", data=png_head(50_000, 1))) == (
        "d.jsonl:3: 'b' is 50000 x 1, a side longer than max_side_px 16,384."
    )
    assert problem(ImageRef("b", data=png_head(60_000, 60_000)), max_side_px=10**6, max_pixels=10**10) == (
        "d.jsonl:3: 'b' claims more pixels than can be decoded safely."
    )
    small = ImageRef("s.png", data=picture_bytes())
    size = len(small.data or b"")
    assert problem(small, max_file_bytes=10) == f"d.jsonl:3: 's.png' has {size} bytes, more than max_file_bytes 10."
    assert open_image(small, max_file_bytes=size, max_pixels=36, max_side_px=6).size == (6, 6)
    assert problem(small, max_pixels=35) == "d.jsonl:3: 's.png' is 6 x 6, more than max_pixels 35."


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_truncated_file_is_refused(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = encode(noise, kind).data or b""
    message = problem(ImageRef("t", data=whole[: len(whole) * 2 // 3]))
    assert message == "d.jsonl:3: 't' is damaged or cut short and cannot be decoded."


def test_what_is_not_a_picture() -> None:
    expected = f"d.jsonl:3: 'x' is not a picture, or its head is damaged. {READABLE}"
    for data in (b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"<svg/>"):
        assert problem(ImageRef("x", data=data)) == expected
    assert problem(ImageRef("x", data=b"")) == "d.jsonl:3: 'x' is empty (0 bytes)."


def test_files_stay_inside_their_folder(tmp_path: Path) -> None:
    root = tmp_path / "set"
    (root / "deep").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(picture_bytes())
    (root / "deep/a.png").write_bytes(picture_bytes())
    (root / "inner.png").symlink_to("deep/a.png")
    (root / "outer.png").symlink_to("../secret.png")
    (root / "folder_link").symlink_to("..")
    assert open_image(ImageRef("deep/a.png", root=root)).size == (6, 6)
    assert open_image(ImageRef("inner.png", root=root)).size == (6, 6)
    advice = "Write paths relative to that folder, without '..' or links that leave it."
    for name in (
        "../secret.png",
        "deep/../../secret.png",
        f"{tmp_path}/secret.png",
        "outer.png",
        "folder_link/secret.png",
    ):
        message = f"d.jsonl:3: '{name}' leads outside the data folder {root}. {advice}"
        assert problem(ImageRef(name, root=root)) == message


def test_missing_and_special_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert problem(ImageRef("no.png", root=tmp_path)) == f"d.jsonl:3: 'no.png' not found in {tmp_path}."
    assert problem(ImageRef("loop.png", root=tmp_path)) == f"d.jsonl:3: 'loop.png' not found in {tmp_path}."
    assert problem(ImageRef("pipe.png", root=tmp_path)) == "d.jsonl:3: 'pipe.png' is not a regular file."
    assert problem(ImageRef(".", root=tmp_path)) == "d.jsonl:3: '.' is not a regular file."
    assert problem(ImageRef("x")) == "d.jsonl:3: 'x' has neither a folder nor bytes."


def test_all_pictures_of_a_record_in_order() -> None:
    refs = tuple(ImageRef(str(red), data=picture_bytes((red, 0, 0))) for red in (5, 250))
    images = open_images(Judgement(id="1", task="execution", images=refs, prompt="p", origin="o:1"))
    assert [image.getpixel((0, 0))[0] for image in images] == [5, 250]


@pytest.mark.skipif(
    not (SHARED / "data/edits").is_dir(), reason="the shared sample of edits is not beside the checkout"
)
def test_real_pictures_open() -> None:
    root = SHARED / "data/edits"
    names = sorted(path.name for path in root.iterdir() if path.suffix != ".jsonl")
    assert len(names) == 20
    for name in names:
        with Image.open(root / name) as expected:
            image = open_image(ImageRef(name, root=root))
            assert (image.mode, image.size) == ("RGB", expected.size)
