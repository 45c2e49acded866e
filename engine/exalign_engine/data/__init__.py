"""Readers of annotated faces, all behind one small interface: `FaceSource`."""

from exalign_engine.data.face_source import FaceSource, box_frame_shapes
from exalign_engine.data.source import open_faces

__all__ = ["FaceSource", "box_frame_shapes", "open_faces"]
