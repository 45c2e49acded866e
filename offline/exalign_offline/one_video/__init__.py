"""One video: from its checkpoint, if it has one, to files that are whole."""
