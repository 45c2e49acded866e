"""The server's settings: schema and sources."""
