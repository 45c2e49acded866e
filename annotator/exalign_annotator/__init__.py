"""A page on which faces are labelled with clicks: `exalign annotate`, or `annotator` for an ASGI server of your own."""

from exalign_annotator.app import annotator

__all__ = ["annotator"]
