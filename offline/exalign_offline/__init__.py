"""Many videos without a server: ``exalign-model track-files``, on Ray or in one process. docs/offline.md."""
