"""Write the page of a run, a study or an audit again from its files: ``goodviews report``."""

from __future__ import annotations

from pathlib import Path

from goodviews import report
from goodviews.interfaces import UserError
from goodviews.studies.folder import read_json


def write_report(path: str | Path) -> Path:
    """Write report.html of a run, a study or an audit again.

    Args:
        path: folder of a run (it holds config.yaml), of a study (rows.jsonl) or of an audit
            (audit.json).

    Returns:
        The page's path.

    Raises:
        UserError: none of them is there.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such folder. Name the --out of a run or a study.")
    if (path / "rows.jsonl").is_file():
        record = path / "study.json"
        study = read_json(record) if record.is_file() else {}
        if study.get("kind") == "experiment":
            return report.experiment_page(path)
        return report.ablation_page(path) if study.get("study") else report.study_page(path)
    if (path / "audit.json").is_file():
        return report.audit_page(path)
    if (path / "config.yaml").is_file():
        return report.run_page(path)
    raise UserError(
        f"{path}: neither a run (config.yaml) nor a study (rows.jsonl) nor an audit. "
        "Name the --out of `goodviews train` or `goodviews choose`."
    )
