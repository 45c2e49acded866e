"""The subcommands of ``exalign``, one module each.

A module has ``add_parser(commands)``, which adds its parser and sets ``run`` as a default of it: a function
from the parsed arguments to the exit code.
"""
