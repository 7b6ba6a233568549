"""Reads rows, writes tables, figures and self-contained pages; imports no torch.

- :func:`summarise` and :func:`format_table`: rows -> one entry a candidate -> a terminal table;
- :func:`study_page`, :func:`ablation_page`, :func:`experiment_page`, :func:`run_page`: a folder
  -> ``report.html`` in it.
"""

from __future__ import annotations

from goodviews.report.ablation import ablation_page, ablation_table, claim_line
from goodviews.report.audit import audit_page, audit_table
from goodviews.report.experiment import experiment_page, experiment_table, shown_line
from goodviews.report.figures import accuracy_information_figure
from goodviews.report.palette import THEMES, with_theme
from goodviews.report.run import run_page
from goodviews.report.study import render_study, strip_path, study_page
from goodviews.report.tables import format_table, summarise

__all__ = [
    "THEMES",
    "ablation_page",
    "ablation_table",
    "accuracy_information_figure",
    "audit_page",
    "audit_table",
    "claim_line",
    "experiment_page",
    "experiment_table",
    "format_table",
    "render_study",
    "run_page",
    "shown_line",
    "strip_path",
    "study_page",
    "summarise",
    "with_theme",
]
