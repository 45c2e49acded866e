"""From an image to faces: the aligner and the views of a face."""
