"""TrackVideo: session, blocking and asyncio streams."""
