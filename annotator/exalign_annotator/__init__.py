"""A page on which faces are labelled with clicks: `exalign annotate`; in an ASGI server of your own: `.app`."""
