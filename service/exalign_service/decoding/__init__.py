"""Decoding of pictures that takes long, in processes of its own, and the memory that decoded pictures take."""
