"""Mutual information for scikit-learn people: ``fit(x, y)``, ``nats_``, ``clone``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.base import BaseEstimator

from goodviews.estimators.estimate import Ask, measure, read_all
from goodviews.interfaces import Estimate


class MutualInformation(BaseEstimator):
    """Estimates I(x;y) from pairs, as :func:`goodviews.estimate` does, in nats.

    ``E log p(x,y) / (p(x) p(y))``. Nothing is done when it is made; ``fit`` measures.

    Args:
        method: a name in `goodviews list estimators`, or "auto".
        seed: of folds, networks and shuffles.
        shuffles: how many shuffled values make the null; None: the method's own.
        discrete_x: True reads x as labels, False as numbers, None by the rule.
        discrete_y: the same for y.
        device: auto, cpu, cuda or mps.
        settings: further settings of the method, for example ``{"neighbors": 5}``.

    Attributes:
        nats_: the estimate.
        estimate_: the :class:`goodviews.interfaces.Estimate`: error, null, bounds, warnings.
        n_features_in_: columns of x.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=1000)
        >>> information = MutualInformation("ksg", shuffles=0)
        >>> round(information.fit(x, x + rng.normal(size=1000)).nats_, 1)  # 0.347 nats
        0.4
    """

    def __init__(
        self,
        method: str = "auto",
        seed: int = 0,
        shuffles: int | None = None,
        discrete_x: bool | None = None,
        discrete_y: bool | None = None,
        device: str = "auto",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.method = method
        self.seed = seed
        self.shuffles = shuffles
        self.discrete_x = discrete_x
        self.discrete_y = discrete_y
        self.device = device
        self.settings = settings

    def fit(self, X: Any, y: Any, given: Any = None) -> MutualInformation:  # noqa: N803
        """Measure I(X;y), or I(X;y|given).

        Args:
            X: n observations, shape (n,) or (n, d).
            y: n observations of the other variable.
            given: n observations of a variable to condition on.

        Returns:
            The estimator itself, with ``nats_`` and ``estimate_``.

        Raises:
            UserError: as :func:`goodviews.estimate`.
        """
        columns = read_all((X, y, given), (self.discrete_x, self.discrete_y, None))
        ask = Ask(self.method, self.seed, self.shuffles, self.device, self.settings)
        self.estimate_: Estimate = measure(columns, ask)
        self.nats_ = self.estimate_.nats
        shape = columns[0].shape
        self.n_features_in_ = shape[1] if len(shape) == 2 else 1
        return self
