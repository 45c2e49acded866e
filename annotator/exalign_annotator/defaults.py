"""What is so unless it is said otherwise."""

#: Where the page is; where this port is taken, a free one.
PORT = 8765

#: Name of the project's folder.
DEFAULT_FOLDER = "exalign-annotations"
