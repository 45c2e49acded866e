"""Recordings of video sessions: their files, and who writes them."""
