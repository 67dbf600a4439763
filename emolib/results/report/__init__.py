"""The report: one HTML page of a finished run that opens anywhere, without a network, and can be
sent to a colleague.
"""

from emolib.results.report.finished import FIELDS
from emolib.results.report.page import write
from emolib.results.report.parts import TABLES

__all__ = ["FIELDS", "TABLES", "write"]
