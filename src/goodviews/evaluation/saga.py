"""The probe of Tschannen et al. 2019: logistic regression that stops early."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import MinMaxScaler
from torch import Tensor

from goodviews.evaluation.task import ProbeResult, checked


def saga_probe(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    *,
    c: float = 10.0,
    tol: float = 0.1,
    seed: int = 0,
) -> ProbeResult:
    """Logistic regression by SAGA on features scaled to [0, 1]; labels -1 are ignored.

    Multinomial, penalty ``|W|^2 / (2 c)`` beside the summed cross-entropy; features of shape (n, D)
    are scaled by their least and largest training value. The tolerance 0.1 ends it after a few
    passes: that is the paper's protocol, and :func:`goodviews.evaluation.probes.linear_probe` the
    converged one (Tschannen et al. 2019, section 3 and code).

    Args:
        train_x: features of the training images.
        train_y: their labels.
        test_x: features of the test images.
        test_y: their labels.
        c: inverse strength of the penalty.
        tol: relative change of the weights at which SAGA stops.
        seed: of the order in which SAGA visits images.

    Raises:
        UserError: Features not finite, fewer than two classes, no test label, shapes that differ.

    Example:
        >>> import torch
        >>> x = torch.arange(40.0).reshape(-1, 1)
        >>> y = (x.squeeze() > 19).long()
        >>> saga_probe(x, y, x, y).accuracy > 0.9
        True
    """
    task = checked(train_x, train_y, test_x, test_y)
    scaler = MinMaxScaler(copy=True)
    train = scaler.fit_transform(task.train_x.float().numpy())
    test = scaler.transform(task.test_x.float().numpy())
    model = LogisticRegression(C=c, tol=tol, solver="saga", max_iter=1000, random_state=seed)
    model.fit(train, task.train_y.numpy())
    log_p = np.full((len(test), len(task.classes)), -np.inf, dtype=np.float32)
    log_p[:, model.classes_] = np.log(np.maximum(model.predict_proba(test), np.float32(1e-30)))
    found = task.train_x.new_tensor(log_p)
    return task.result(found.argmax(1), found, "saga", f"C {c:g}, tolerance {tol:g}")
