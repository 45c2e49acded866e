"""The server as a part of the process that calls it: see `exalign.local_answers`."""
