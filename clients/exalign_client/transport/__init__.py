"""Channel, connection, retries, health and a local server."""
