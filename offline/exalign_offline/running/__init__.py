"""All videos: on Ray, or one after the other in this process; how far they are."""
