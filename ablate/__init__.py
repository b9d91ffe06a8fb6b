"""ablate: compare training choices for image classification, and know how far to trust the answer."""

__version__ = "0.1.0"
