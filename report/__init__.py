"""The report on a study: reads records, writes Markdown, HTML, figures and tables. Never imports torch.

import report
frames = report.load("outputs/main")  # .runs, .epochs, .effects: pandas frames
"""

from .frames import Frames, load

__all__ = ["Frames", "load"]
