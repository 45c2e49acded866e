"""The video suite: what memory over frames is worth while a head turns, hides behind something and is cut away."""
