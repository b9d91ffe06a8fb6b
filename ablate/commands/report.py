"""`ablate report`: the report's own command."""

from ablate.report.command import main

__all__ = ["main"]
