"""A folder of images: which files there are, how they are split, what their sub-folders say."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from goodviews.data.decoding import SUFFIXES
from goodviews.data.notes import Notes
from goodviews.interfaces import UserError

TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "testing", "val", "valid", "validation")


@dataclass(frozen=True)
class Listing:
    """The image files of one folder, as paths below it with forward slashes, in natural order."""

    root: Path
    files: tuple[str, ...]

    @property
    def paths(self) -> list[Path]:
        """Full paths."""
        return [self.root / name for name in self.files]

    def folder_labels(self) -> list[str | None]:
        """Each image's class: the first sub-folder on its way; None for images outside any.

        Folders that all images share say nothing and are passed over; with fewer than two
        different sub-folders there are no labels.

        Example:
            >>> Listing(Path("x"), ("all/cat/1.png", "all/dog/deep/2.png")).folder_labels()
            ['cat', 'dog']
        """
        depth = len(_common_folder(self.files))
        parts = [PurePosixPath(name).parts[depth:-1] for name in self.files]
        names = [part[0] if part else None for part in parts]
        several = len({name for name in names if name is not None}) > 1
        return names if several else [None] * len(names)


def list_images(root: Path, notes: Notes) -> Listing:
    """Find the image files below ``root``, by their suffix; the rest is counted as ignored.

    Hidden files and folders are ignored; links to folders are followed once.

    Raises:
        UserError: the folder is empty or holds no image.
    """
    files: list[str] = []
    others: Counter[str] = Counter()
    seen: set[str] = set()
    for here, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(here)
        hidden = [name for name in folders if name.startswith(".")]
        others["hidden"] += len(hidden)
        folders[:] = [] if real in seen else sorted(set(folders) - set(hidden))
        if real in seen:
            continue
        seen.add(real)
        for name in sorted(names):
            suffix = os.path.splitext(name)[1].lower()
            if suffix in SUFFIXES and not name.startswith("."):
                files.append(Path(here, name).relative_to(root).as_posix())
            else:
                others["hidden" if name.startswith(".") else suffix or name] += 1
    others = +others
    notes.ignored += others.total()
    if not files:
        found = ", ".join(f"{n} {kind}" for kind, n in others.most_common(3))
        what = f"holds no image (found {found})" if found else "is an empty folder"
        suffixes = " ".join(sorted(SUFFIXES))
        raise UserError(f"--data: {root} {what}. Give a folder with images ({suffixes}).")
    return Listing(root, tuple(files))


def split_by_folder(listing: Listing, notes: Notes) -> tuple[Listing, Listing | None]:
    """Divide into train and test where there are sub-folders of such names.

    Of several test folders the first that has the class folders of ``train`` is taken.

    Returns:
        Train, and test or None when the folder brings no split.
    """
    depth = len(_common_folder(listing.files))
    inside: dict[str, list[str]] = {}
    for name in listing.files:
        parts = PurePosixPath(name).parts[depth:]
        inside.setdefault(parts[0] if len(parts) > 1 else "", []).append(name)
    lower = {name.lower(): name for name in inside}
    train = next((lower[name] for name in TRAIN_FOLDERS if name in lower), None)
    if train is None:
        return listing, None
    tests = [lower[name] for name in TEST_FOLDERS if name in lower]
    classes = _folders_below(inside[train], depth + 1)
    alike = [name for name in tests if _folders_below(inside[name], depth + 1) & classes]
    test = next(iter(alike or tests), None)
    unused = sorted(set(inside) - {train, test, ""}) + ([] if "" not in inside else ["(loose)"])
    if unused:
        count = sum(len(inside[name if name != "(loose)" else ""]) for name in unused)
        used = " and ".join(f"{name}/" for name in (train, test) if name)
        notes.warn(f"{count} images outside {used} are not used: {', '.join(unused[:5])}.")
    return _below(listing, inside[train]), _below(listing, inside[test]) if test else None


def _below(listing: Listing, files: list[str]) -> Listing:
    return Listing(listing.root, tuple(files))


def _folders_below(files: list[str], depth: int) -> set[str]:
    parts = [PurePosixPath(name).parts for name in files]
    return {part[depth] for part in parts if len(part) > depth + 1}


def _common_folder(files: tuple[str, ...]) -> tuple[str, ...]:
    """Return the folders that all files share."""
    folders = [PurePosixPath(name).parts[:-1] for name in files]
    low, high = min(folders), max(folders)
    shared = 0
    while shared < min(len(low), len(high)) and low[shared] == high[shared]:
        shared += 1
    return low[:shared]
