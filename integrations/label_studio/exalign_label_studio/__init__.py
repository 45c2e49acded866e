"""An ML backend for Label Studio: `exalign-label-studio`, or `backend` for an ASGI server of your own."""

from exalign_label_studio.app import Bounds, backend
from exalign_label_studio.pictures import LabelStudio

__all__ = ["Bounds", "LabelStudio", "backend"]
