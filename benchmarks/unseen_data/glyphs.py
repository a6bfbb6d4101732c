"""Capitals and digits, drawn with the fonts that Matplotlib ships."""

import functools
import string
from pathlib import Path

import numpy as np

from benchmarks.workload import Data

SIDE = 20
"""Pixels along a side of an image."""

CHARACTERS = string.ascii_uppercase + string.digits

DRAWINGS = 10
"""Of each character with each font."""


def _fonts() -> list[Path]:
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    families = ("DejaVuSans", "DejaVuSerif", "STIXGeneral")
    fonts = [path for name in families for path in sorted(folder.glob(f"{name}*.ttf"))]
    return [path for path in fonts if "Display" not in path.name]


def _drawn(character: str, font, random: np.random.Generator) -> np.ndarray:
    from PIL import Image, ImageDraw

    image = Image.new("L", (SIDE, SIDE))
    x, y = SIDE / 2 + random.uniform(-2, 2, 2)
    ImageDraw.Draw(image).text((x, y), character, fill=255, font=font, anchor="mm")
    return np.asarray(image.rotate(random.uniform(-25, 25), Image.Resampling.BILINEAR))


@functools.cache
def glyphs() -> Data:
    """5,760 images of 20 x 20 pixels with noise; the target is the character, 0 to 35.

    Characters are drawn with 16 fonts, in other sizes, at other places, and turned.
    """
    from PIL import ImageFont

    random = np.random.default_rng(0)
    images, y = [], []
    for path in _fonts():
        sizes = [ImageFont.truetype(str(path), size) for size in range(12, 19)]
        for i, character in enumerate(CHARACTERS):
            for _ in range(DRAWINGS):
                font = sizes[random.integers(len(sizes))]
                images.append(_drawn(character, font, random))
                y.append(i)
    x = np.stack(images)[..., None].astype("float32") / 255
    x += random.normal(size=x.shape, scale=0.2).astype("float32")
    return Data.split(x, np.array(y, "int32"), held_back=760)
