"""The skeleton both pages share: templates, plotly inlined, safe JSON, atomic writes."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image
from plotly.offline import get_plotlyjs

from goodviews.files import write_text
from goodviews.interfaces import UserError
from goodviews.report.palette import REGIME_KEYS, THEMES
from goodviews.report.tables import number, percent

_TEMPLATES = Path(__file__).parent / "templates"
_LISTED = 30

Json = Any
"""What a JSON file may hold."""


@dataclass(frozen=True)
class Picture:
    """An image inlined in the page: data URI and size in pixels."""

    source: str
    width: int
    height: int

    @property
    def coarse(self) -> bool:
        """Whether it is so small that its pixels should stay sharp when enlarged."""
        return self.width < 700


def picture(data: bytes | None) -> Picture | None:
    """The PNG as an inlined picture, or ``None`` where there is none that can be read.

    Example:
        >>> picture(b"not an image") is None
        True
    """
    if not data:
        return None
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            width, height = image.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    return Picture(f"data:image/png;base64,{base64.b64encode(data).decode()}", width, height)


def plain(value: object) -> Json:
    """The value as strict JSON knows it: NaN and infinity become ``None``, strangers strings.

    Example:
        >>> plain({"a": float("nan"), "b": (1, 2.5)})
        {'a': None, 'b': [1, 2.5]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def embedded(value: object) -> Markup:
    r"""The value as JSON that may stand inside a script element, whatever strings it holds.

    Example:
        >>> str(embedded("</script>"))
        '"\\u003c/script\\u003e"'
    """
    words = json.dumps(plain(value), allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        words = words.replace(character, f"\\u{ord(character):04x}")
    return Markup(words)  # every character that could end the element is escaped


def facts(record: object) -> list[tuple[str, str, list[str]]]:
    """A nested record as lines (name, value, list): long lists are cut and counted.

    Example:
        >>> facts({"images": 3, "skipped": {"corrupt": 1}})
        [('images', '3', []), ('skipped: corrupt', '1', [])]
    """
    if not isinstance(record, Mapping):
        return []
    lines: list[tuple[str, str, list[str]]] = []
    for key, value in record.items():
        name = str(key).replace("_", " ")
        if isinstance(value, Mapping):
            lines += [(f"{name}: {inner}", words, items) for inner, words, items in facts(value)]
        elif isinstance(value, list | tuple) and any(len(str(item)) > 24 for item in value):
            items = [str(item) for item in value]
            more = [f"... and {len(items) - _LISTED} more"] if len(items) > _LISTED else []
            lines.append((name, str(len(items)), items[:_LISTED] + more))
        else:
            lines.append((name, _words(value), []))
    return lines


def _words(value: object) -> str:
    if isinstance(value, list | tuple):
        more = f" ... ({len(value)})" if len(value) > _LISTED else ""
        return ", ".join(_words(item) for item in value[:_LISTED]) + more or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "not known" if value is None else str(value)


def render(template: str, folder: Path | None = None, /, **context: object) -> str:
    """One self-contained HTML page from a template of this room, or of ``folder``.

    Everything is escaped; the stylesheet, the script and plotly are inlined, and a content
    security policy forbids the page every request.

    Args:
        template: File name under ``templates/`` or ``folder``.
        folder: More templates, that may extend those here.
        context: What the template needs.

    Example:
        >>> render("run.html.j2")
        Traceback (most recent call last):
        jinja2.exceptions.UndefinedError: 'title' is undefined
    """
    environment = Environment(
        loader=FileSystemLoader([_TEMPLATES, *([folder] if folder else [])]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embedded"] = embedded
    environment.globals.update(
        number=number,
        percent=percent,
        themes=THEMES,
        regime_keys=REGIME_KEYS,
        style=Markup((_TEMPLATES / "page.css").read_text("utf-8")),  # our own file
        script=Markup((_TEMPLATES / "page.js").read_text("utf-8")),  # our own file
        plotly=Markup(get_plotlyjs()),  # plotly's own file
    )
    return environment.get_template(template).render(**context)


def write(path: Path, content: str) -> Path:
    """Write the text atomically: a temporary file in the same folder, then a rename.

    Raises:
        UserError: The folder cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(Path(folder) / "report.html", "<p>").read_text()
        '<p>'
    """
    try:
        return write_text(path, content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"{path}: cannot be written ({reason}). Free some space or choose another folder."
        ) from error


def read_json(path: Path) -> Json:
    """The content of a JSON file, ``None`` when there is no such file.

    Raises:
        UserError: The file is not JSON.

    Example:
        >>> read_json(Path("no such file")) is None
        True
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}). Repeat the run.") from error


def read_text(path: Path) -> str:
    """The text of a file, empty when there is no such file.

    Example:
        >>> read_text(Path("no such file"))
        ''
    """
    return path.read_text("utf-8", errors="replace") if path.is_file() else ""


def slug(name: str) -> str:
    """A file name for a candidate: letters, digits and ``. _ = -`` stay.

    Example:
        >>> slug("crop-scale=0.2"), slug("colour space: Lab/ab")
        ('crop-scale=0.2', 'colour-space-Lab-ab')
    """
    return re.sub(r"[^A-Za-z0-9._=-]+", "-", name).strip("-.") or "unnamed"
