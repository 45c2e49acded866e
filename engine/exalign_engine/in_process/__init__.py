"""The engine for callers in this process, such as notebooks: an aligner with every view of a face, and with video."""
