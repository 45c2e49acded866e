"""TrackVideo: stream, conversation, sessions and their store."""
