"""Files of other tools, read and written by those tools themselves: see `own_readers`."""
