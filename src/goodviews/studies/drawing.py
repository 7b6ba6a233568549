"""Pictures made of tiles: images, coloured maps, colour bars and small words on a white sheet."""

from __future__ import annotations

import torch
from PIL import Image, ImageDraw, ImageFont
from plotly.colors import hex_to_rgb, sequential
from torch import Tensor
from torch.nn import functional

SIDE, GAP, BAR, LINE = 192, 8, 28, 34
"""Longer side of a tile, space between tiles, width of a colour bar, height of a line, pixels."""

INK, MUTED, WRONG = "#1a1e23", "#59626d", "#b34e00"
"""Colours of words: plain, beside the point, mistakes."""

COMPONENTS = ("#0072b2", "#d55e00", "#f0e442", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""One colour a component of a mixture (Okabe-Ito, safe for colour-blind readers)."""

_HEAT = [hex_to_rgb(color) for color in sequential.Inferno]

Box = tuple[float, float, float, float]
"""Left, top, right, bottom as fractions of a tile."""


def shades(values: Tensor) -> Tensor:
    """Values in [0, 1], shape (h, w), as colours from black over red to pale yellow, (3, h, w).

    The colour map is Inferno: equal steps look equal, and brightness alone tells the order.

    Example:
        >>> shades(torch.tensor([[0.0, 1.0]]))[:, 0].mul(255).round().int().T.tolist()
        [[0, 0, 4], [252, 255, 164]]
    """
    stops = torch.tensor(_HEAT, dtype=torch.float32).T / 255
    place = values.float().nan_to_num().clamp(0, 1) * (stops.shape[1] - 1)
    below = place.long().clamp(max=stops.shape[1] - 2)
    share = place - below
    return stops[:, below] * (1 - share) + stops[:, below + 1] * share


def heat(values: Tensor, low: float, high: float) -> Tensor:
    """A map (h, w) as colours (3, h, w): ``low`` is black, ``high`` pale yellow."""
    return shades((values - low) / max(high - low, 1e-12))


def overlaid(image: Tensor, posterior: Tensor) -> Tensor:
    """Posteriors q (k, h', w') as colours over the grey of an image (3, h, w) in [0, 1].

    A place has the colour of its strongest component; the surer, the fuller the colour:
    ``opacity = 0.8 sqrt((max_j q_j - 1/k) / (1 - 1/k))``, nothing where all are alike.

    Returns:
        Colours (3, H, W) at a tile's size.
    """
    hues = [hex_to_rgb(COMPONENTS[j % len(COMPONENTS)]) for j in range(len(posterior))]
    surest, which = posterior.float().max(0)
    sure = (surest * len(posterior) - 1) / max(len(posterior) - 1, 1)
    ground = enlarged(image).mean(0).expand(3, -1, -1)
    size = ground.shape[1:]
    colours = functional.interpolate((torch.tensor(hues) / 255)[which].permute(2, 0, 1)[None], size)
    opacity = functional.interpolate(0.8 * sure.clamp_min(0).sqrt()[None, None], size)
    return (opacity * colours + (1 - opacity) * ground)[0]


def enlarged(image: Tensor) -> Tensor:
    """An image (3, h, w) in [0, 1] with a longer side of SIDE; small ones keep sharp pixels."""
    _, h, w = image.shape
    scale = SIDE / max(h, w)
    way = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.BICUBIC
    size = max(1, round(w * scale)), max(1, round(h * scale))
    pixels = bytearray(_picture(image).resize(size, way).tobytes())
    flat = torch.frombuffer(pixels, dtype=torch.uint8).view(size[1], size[0], 3)
    return flat.permute(2, 0, 1).float() / 255


def _picture(image: Tensor) -> Image.Image:
    """Colours (3, h, w) in [0, 1] as a picture."""
    bytes_ = image.mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous()
    return Image.fromarray(bytes_.numpy())


class Sheet:
    """A white sheet that takes tiles and words at places in pixels.

    Example:
        >>> sheet = Sheet(SIDE, SIDE)
        >>> sheet.tile(torch.zeros(3, 7, 7), 0, 0)
        >>> sheet.image.size, sheet.image.getpixel((5, 5))
        ((192, 192), (0, 0, 0))
    """

    def __init__(self, width: int, height: int) -> None:
        """An empty sheet of so many pixels."""
        self.image = Image.new("RGB", (width, height), "white")
        self._pen = ImageDraw.Draw(self.image)

    def tile(self, image: Tensor, x: int, y: int, box: Box | None = None) -> None:
        """An image or a coloured map (3, h, w) in [0, 1]; ``box`` is framed, in parts of it."""
        picture = _picture(enlarged(image))
        self.image.paste(picture, (x, y))
        if box is not None:
            w, h = picture.size
            left, top, right, bottom = (
                round(start + part * size)
                for start, part, size in zip((x, y, x, y), box, (w, h, w, h), strict=True)
            )
            self._pen.rectangle((left - 1, top - 1, right, bottom), outline="black", width=6)
            self._pen.rectangle(
                (left + 1, top + 1, right - 2, bottom - 2), outline="white", width=2
            )

    def words(
        self, text: str, x: int, y: int, color: str = INK, size: int = 22, anchor: str = "la"
    ) -> None:
        """A line of small words; ``anchor`` as Pillow has it (left, top by default)."""
        font = ImageFont.load_default(size)
        self._pen.text((x, y), text, fill=color, font=font, anchor=anchor)

    def patch(self, color: str, x: int, y: int, side: int = 22) -> None:
        """A square of one colour, for a legend."""
        self._pen.rectangle((x, y, x + side, y + side), fill=color)

    def bar(self, low: float, high: float, x: int, y: int, upright: bool = True) -> None:
        """A colour bar of :func:`heat`, as long as a tile, with the numbers at its ends."""
        length = SIDE if upright else SIDE - 3 * GAP
        ramp = shades(torch.linspace(0, 1, length)[None, :].expand(BAR, length))
        if upright:
            self.image.paste(_picture(ramp.mT.flip(1)), (x, y))
            self.words(f"{high:.2g}", x + BAR + GAP, y, MUTED)
            self.words(f"{low:.2g}", x + BAR + GAP, y + length, MUTED, anchor="ld")
        else:
            self.image.paste(_picture(ramp), (x, y))
            self.words(f"{low:.2g}", x, y + BAR + GAP, MUTED)
            self.words(f"{high:.2g}", x + length, y + BAR + GAP, MUTED, anchor="ra")
