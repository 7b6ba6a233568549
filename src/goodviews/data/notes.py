"""What is learnt about a data set while it is read: the future ``data_report.json``."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from goodviews.interfaces import ImageSource


@dataclass
class Notes:
    """Collects what the readers see; :meth:`report` writes it out."""

    warnings: list[str] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    ignored: int = 0
    modes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    unchecked: int = 0
    """Files of a very large set whose headers were not read beforehand."""
    duplicates: int | None = None
    leaks: int | None = None
    """Test images that are also training images, byte for byte."""
    grey: bool = False

    def warn(self, message: str) -> None:
        """Keep a warning for the report."""
        self.warnings.append(message)

    def skip(self, path: str, reason: str) -> None:
        """Count a file that could not be read."""
        self.skipped.append({"path": path, "reason": reason})

    def report(self, train: ImageSource, test: ImageSource, seconds: float) -> dict[str, Any]:
        """Everything as plain values for JSON; sizes are (width, height) in pixels."""
        sizes = sorted(self.sizes, key=math.prod)
        extent = {
            "smallest": list(sizes[0]),
            "largest": list(sizes[-1]),
            "different": len(sizes),
        }
        return {
            "name": train.name,
            "train": len(train),
            "test": len(test),
            "image_size": train.shape[-1],
            "channels": train.shape[0],
            "streamed": not hasattr(train, "pixels"),
            "modes": dict(self.modes),
            "sizes": extent,
            "classes": {
                name: {"train": a, "test": b}
                for name, a, b in zip(train.classes, _counts(train), _counts(test), strict=True)
            },
            "labelled": sum(_counts(train)) + sum(_counts(test)),
            "skipped": self.skipped,
            "ignored": self.ignored,
            "unchecked": self.unchecked,
            "duplicates": self.duplicates,
            "duplicates_between_train_and_test": self.leaks,
            "grey": self.grey,
            "warnings": self.warnings,
            "seconds": round(seconds, 3),
        }


def _counts(source: ImageSource) -> list[int]:
    """Images a class."""
    if source.labels is None:
        return [0] * len(source.classes)
    labels = source.labels[source.labels >= 0]
    return [int(n) for n in labels.bincount(minlength=len(source.classes))]
