"""What the model answers about the faces of a project."""
