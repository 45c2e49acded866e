"""From what one frame and one checkpoint cost to fleets of ten thousand streams and more (docs/scale.md)."""
