"""Training: any method on any loader, resumable, watched.

    fit(method, loader, TrainSettings(epochs=10), out="runs/a") -> FitResult

A method is a LightningModule whose ``training_step`` returns the loss and logs "loss", "nats" and
"ceiling", and whose randomness is a function of its seed and ``global_step``; called on uint8
images it returns their representation, shape (n, d).
"""

from goodviews.training.checkpoints import load_checkpoint, load_weights
from goodviews.training.closing import Evaluator
from goodviews.training.collapse import effective_rank
from goodviews.training.fit import FitResult, fit
from goodviews.training.optimizers import LARS, build_optimizer, warmup_cosine, warmup_steps
from goodviews.training.precision import resolve_accelerator, resolve_precision
from goodviews.training.settings import TrainSettings

__all__ = [
    "LARS",
    "Evaluator",
    "FitResult",
    "TrainSettings",
    "build_optimizer",
    "effective_rank",
    "fit",
    "load_checkpoint",
    "load_weights",
    "resolve_accelerator",
    "resolve_precision",
    "warmup_cosine",
    "warmup_steps",
]
