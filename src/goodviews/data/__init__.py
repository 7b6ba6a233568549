"""Data: images from anywhere, as uint8 RGB squares with labels and a report.

:data:`DATA` lists the names ``--data`` knows; a folder, an ``.npz`` file and ``hf:NAME`` work too.
"""

from goodviews.data.catalogue import DATA
from goodviews.data.images import Images
from goodviews.data.load import Loaded, load
from goodviews.data.loaders import EpochBatches, loader
from goodviews.data.streamed import StreamedImages

__all__ = ["DATA", "EpochBatches", "Images", "Loaded", "StreamedImages", "load", "loader"]
