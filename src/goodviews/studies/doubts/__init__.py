"""Is it really mutual information? The experiments of Tschannen et al. 2019, one file each."""

from __future__ import annotations

from goodviews.studies.doubts.adversarial import ADVERSARIAL
from goodviews.studies.doubts.conditioning import CONDITIONING
from goodviews.studies.doubts.critics import CRITIC_SIZES
from goodviews.studies.doubts.experiment import Experiment
from goodviews.studies.doubts.invertible import INVERTIBLE
from goodviews.studies.doubts.matched_bounds import MATCHED_BOUNDS
from goodviews.studies.doubts.metric_learning import METRIC_LEARNING
from goodviews.studies.doubts.negatives import NEGATIVES

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        INVERTIBLE,
        ADVERSARIAL,
        CONDITIONING,
        CRITIC_SIZES,
        MATCHED_BOUNDS,
        NEGATIVES,
        METRIC_LEARNING,
    )
}
"""Name -> experiment."""
