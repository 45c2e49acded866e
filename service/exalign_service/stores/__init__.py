"""Stores of video sessions that outlive a server: Redis or Valkey."""
