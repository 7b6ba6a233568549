"""The primer: information theory of views, each idea by one small example first.

A lesson (:class:`goodviews.primer.lesson.Lesson`) is data and functions of the reader's numbers;
`terminal`, `markdown` and `page` draw the same lesson. Imports no torch.
"""

from __future__ import annotations

from goodviews.primer.learning import LESSONS, learn

__all__ = ["LESSONS", "learn"]
