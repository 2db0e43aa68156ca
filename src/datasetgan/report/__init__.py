"""One self-contained HTML page about a project: what was painted, generated and scored."""

from datasetgan.report.content import ReportContent
from datasetgan.report.write import ReportProgress, write_report

__all__ = ["ReportContent", "ReportProgress", "write_report"]
