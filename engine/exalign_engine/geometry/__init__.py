"""Frames, boxes, landmarks, pictures and head pose: plain geometry, no model."""
