"""Build the sprite atlas of the scenes world from four public npm packages.

    python data/sprites/build_atlas.py --packages FOLDER [--sheet sheet.png]

FOLDER holds the package archives (``npm pack NAME@VERSION`` makes them); missing ones are fetched with ``npm``. Every
archive is checked against the SHA-256 written below, so the same archives, Pillow and resvg give the same bytes.
``objects.tsv`` says which emoji stands for which noun; ``atlas.webp`` and ``index.json`` are written beside it. Needs
``resvg-py`` and ``rich`` beside Pillow; none of this is needed to use the atlas.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import random
import subprocess
import tarfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw
from rich.console import Console

HERE = Path(__file__).resolve().parent
TILE_PX = 48
MARGIN_PX = 1
COLUMNS = 24
RENDER_PX = 256
VISIBLE_ALPHA = 8  # fainter pixels (soft shadows' ends) do not count as content when a picture is trimmed
SVG_SPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
HELD_OUT = 30
HELD_OUT_GENEVAL = 12
HELD_OUT_SEED = 2026


@dataclass(frozen=True)
class Package:
    """An npm package: ``sha256`` is that of its archive, ``style`` the drawing style that it gives ("" for labels)."""

    name: str
    version: str
    licence: str
    sha256: str
    style: str

    @property
    def archive(self) -> str:
        return f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"


# fmt: off
LABELS = Package(
    "emojibase-data", "17.0.0", "MIT", "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a", "")
PICTURES = (
    Package("@lobehub/fluent-emoji-3d", "1.1.0", "MIT",
            "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58", "3d"),
    Package("@iconify-json/fluent-emoji-flat", "1.2.6", "MIT",
            "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175", "flat"),
    Package("@iconify-json/noto", "1.2.9", "Apache-2.0",
            "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad", "noto"),
)
# fmt: on


class BuildError(RuntimeError):
    """The atlas cannot be built; the message says why and what to do."""


def open_package(package: Package, folder: Path) -> tarfile.TarFile:
    """Open the package's archive in ``folder``, fetched if missing, refused if its bytes are not the known ones."""
    path = folder / package.archive
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        asked = ["npm", "pack", f"{package.name}@{package.version}", "--silent", "--pack-destination", str(folder)]
        try:
            subprocess.run(asked, check=True, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            raise BuildError(f"{path} is missing and could not be fetched ({error}); put it there by hand") from error
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != package.sha256:
        raise BuildError(f"{path}: SHA-256 is {found}, expected {package.sha256}; delete the file to fetch it again")
    # Unpressed in memory: files are read out of order, and a gzip stream can only be read forwards.
    return tarfile.open(fileobj=io.BytesIO(gzip.decompress(data)))


def member_bytes(archive: tarfile.TarFile, name: str) -> bytes:
    """Read one file of a package without unpacking anything to disk."""
    file = archive.extractfile(f"package/{name}")
    if file is None:
        raise BuildError(f"package/{name} is not a file")
    return file.read()


def spellings(code_point: str) -> tuple[str, ...]:
    """The ways in which packages write one code point: with and without the variation selector FE0F."""
    bare = code_point.lower().removesuffix("-fe0f")
    return bare, f"{bare}-fe0f"


class WebpPictures:
    """One WebP file per code point."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self.archive = archive

    def picture(self, code_point: str) -> Image.Image | None:
        for spelling in spellings(code_point):
            try:
                data = member_bytes(self.archive, f"assets/{spelling}.webp")
            except KeyError:
                continue
            return Image.open(io.BytesIO(data)).convert("RGBA")
        return None


class SvgPictures:
    """SVG bodies in one JSON file, found by code point through a second one."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self.icons = json.loads(member_bytes(archive, "icons.json"))
        self.icon_names = json.loads(member_bytes(archive, "chars.json"))

    def picture(self, code_point: str) -> Image.Image | None:
        import resvg_py

        for spelling in spellings(code_point):
            icon = self.icons["icons"].get(self.icon_names.get(spelling))
            if icon is not None:
                width, height = (icon.get(side, self.icons.get(side, 16)) for side in ("width", "height"))
                svg = f'<svg {SVG_SPACES} viewBox="0 0 {width} {height}">{icon["body"]}</svg>'
                png = resvg_py.svg_to_bytes(svg_string=svg, width=RENDER_PX, height=RENDER_PX, skip_system_fonts=True)
                return Image.open(io.BytesIO(bytes(png))).convert("RGBA")
        return None


def to_tile(picture: Image.Image) -> Image.Image:
    """Trim an RGBA picture to its visible content and centre it in a tile, longer side filling all but the margin."""
    box = picture.getchannel("A").point(lambda alpha: 255 * (alpha >= VISIBLE_ALPHA)).getbbox()
    if box is None:
        raise BuildError("a picture has no visible pixel")
    content = picture.crop(box)
    scale = (TILE_PX - 2 * MARGIN_PX) / max(content.size)
    width, height = (max(1, round(side * scale)) for side in content.size)
    # Pillow resizes RGBA through premultiplied alpha, so no colour of invisible pixels reaches the rim.
    content = content.resize((width, height), Image.Resampling.LANCZOS)
    tile = Image.new("RGBA", (TILE_PX, TILE_PX), (0, 0, 0, 0))
    tile.paste(content, ((TILE_PX - width) // 2, (TILE_PX - height) // 2))
    return tile


def read_objects(path: Path) -> list[dict[str, str]]:
    """The rows of ``objects.tsv`` in order: name, plural, article, group, geneval ("yes"/"no"), emoji (its label)."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    names = [row["name"] for row in rows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BuildError(f"{path}: named twice: {', '.join(twice)}")
    return rows


def choose_held_out(rows: list[dict[str, str]]) -> set[str]:
    """Draw the objects kept out of training: 12 GenEval classes and 18 others, taken round the groups in turn."""
    generator = random.Random(HELD_OUT_SEED)
    chosen: set[str] = set()
    for geneval, wanted in (("yes", HELD_OUT_GENEVAL), ("no", HELD_OUT - HELD_OUT_GENEVAL)):
        groups = defaultdict(list)
        for row in rows:
            if row["geneval"] == geneval:
                groups[row["group"]].append(row["name"])
        # A group of fewer than three is left whole: training needs to see its kind.
        piles = [generator.sample(names, len(names)) for _, names in sorted(groups.items()) if len(names) >= 3]
        drawn: list[str] = []
        while len(drawn) < wanted:
            generator.shuffle(piles)
            drawn += [pile.pop() for pile in piles if len(pile) > 1][: wanted - len(drawn)]
        chosen.update(drawn)
    return chosen


def draw_atlas(rows: list[dict[str, str]], code_points: dict[str, str], folder: Path) -> Image.Image:
    """One picture with all tiles: all objects of the first style in rows of ``COLUMNS``, then those of the next."""
    count = len(rows) * len(PICTURES)
    atlas = Image.new("RGBA", (COLUMNS * TILE_PX, -(-count // COLUMNS) * TILE_PX), (0, 0, 0, 0))
    for style_index, package in enumerate(PICTURES):
        archive = open_package(package, folder)
        source = WebpPictures(archive) if package.style == "3d" else SvgPictures(archive)
        missing = []
        for name_index, row in enumerate(rows):
            picture = source.picture(code_points[row["emoji"]])
            if picture is None:
                missing.append(row["emoji"])
                continue
            place = style_index * len(rows) + name_index
            atlas.paste(to_tile(picture), (place % COLUMNS * TILE_PX, place // COLUMNS * TILE_PX))
        if missing:
            raise BuildError(f"{package.name} {package.version} has no picture of {', '.join(map(repr, missing))}")
    return atlas


def draw_sheet(rows: list[dict[str, str]], atlas: Image.Image) -> Image.Image:
    """A contact sheet for the eye: every object in every style with its name below."""
    columns, cell_width, cell_height = 8, 3 * TILE_PX + 16, TILE_PX + 18
    size = (columns * cell_width, -(-len(rows) // columns) * cell_height)
    sheet = Image.new("RGB", size, (226, 226, 220))
    draw = ImageDraw.Draw(sheet)
    for name_index, row in enumerate(rows):
        x, y = name_index % columns * cell_width + 8, name_index // columns * cell_height + 2
        for style_index in range(len(PICTURES)):
            place = style_index * len(rows) + name_index
            left, top = place % COLUMNS * TILE_PX, place // COLUMNS * TILE_PX
            tile = atlas.crop((left, top, left + TILE_PX, top + TILE_PX))
            sheet.paste(tile, (x + style_index * TILE_PX, y), tile)
        draw.text((x, y + TILE_PX + 1), row["name"], fill=(0, 0, 0))
    return sheet


def make_index(rows: list[dict[str, str]], code_points: dict[str, str], atlas_bytes: bytes) -> dict[str, object]:
    """What ``index.json`` holds."""
    held_out = choose_held_out(rows)
    return {
        "tile_px": TILE_PX,
        "columns": COLUMNS,
        "styles": [package.style for package in PICTURES],
        "atlas_sha256": hashlib.sha256(atlas_bytes).hexdigest(),
        "packages": [
            {"name": package.name, "version": package.version, "licence": package.licence}
            for package in (LABELS, *PICTURES)
        ],
        "objects": [
            {
                "name": row["name"],
                "plural": row["plural"],
                "article": row["article"],
                "group": row["group"],
                "geneval": row["geneval"] == "yes",
                "held_out": row["name"] in held_out,
                "code_point": code_points[row["emoji"]],
            }
            for row in rows
        ],
    }


def main() -> None:
    """Build atlas and index beside this file."""
    parser = argparse.ArgumentParser(description="Build the sprite atlas of the scenes world.")
    parser.add_argument(
        "--packages", type=Path, required=True, help="folder of the npm archives; missing ones are fetched"
    )
    parser.add_argument("--sheet", type=Path, help="also draw a contact sheet of all sprites, a PNG file")
    arguments = parser.parse_args()
    rows = read_objects(HERE / "objects.tsv")
    entries = json.loads(member_bytes(open_package(LABELS, arguments.packages), "en/data.json"))
    code_points = {entry["label"]: entry["hexcode"] for entry in entries}
    unknown = [row["emoji"] for row in rows if row["emoji"] not in code_points]
    if unknown:
        raise BuildError(f"{LABELS.name} {LABELS.version} has no emoji labelled {', '.join(map(repr, unknown))}")
    atlas = draw_atlas(rows, code_points, arguments.packages)
    encoded = io.BytesIO()
    atlas.save(encoded, "WEBP", lossless=True, quality=100, method=6)
    (HERE / "atlas.webp").write_bytes(encoded.getvalue())
    index = make_index(rows, code_points, encoded.getvalue())
    (HERE / "index.json").write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if arguments.sheet is not None:
        draw_sheet(rows, atlas).save(arguments.sheet)
    Console().print(f"{len(rows)} objects in {len(PICTURES)} styles, {len(encoded.getvalue()) / 1e6:.2f} MB")


if __name__ == "__main__":
    try:
        main()
    except BuildError as error:
        raise SystemExit(f"build_atlas.py: {error}") from error
