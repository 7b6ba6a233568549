"""``goodviews audit``: its options. A table that imports nothing heavy."""

from __future__ import annotations

from goodviews.cli.nouns import Option, Verb
from goodviews.cli.recurring import DEVICE, OWN, RUN, SEED, data_options, training_option

AUDIT = Verb(
    "audit",
    "Ask of a trained run whether it is really mutual information.",
    (
        RUN,
        *data_options(None, OWN, sized=False),
        training_option(
            "seeds",
            int,
            3,
            "untrained networks, and fresh critics of every other contender",
            "SEEDS",
            0,
        ),
        SEED,
        DEVICE[0],
        Option(
            "out",
            str | None,
            None,
            "audit.json and report.html; none: RUN/audit; run the same command again to go on",
            "FOLDER",
            "output",
        ),
    ),
    (
        ("audit run", "seven doubts, a verdict, a page; minutes on two CPU cores"),
        ("audit run --max-images 8000 --seeds 2", "quicker, with wider errors"),
        ("audit run --data photos/ --labels labels.csv", "on other images than the run's own"),
    ),
    positional=("run", "data"),
    required=("run",),
)
