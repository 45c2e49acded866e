"""What follows from a bundle alone: made once, kept in files, and mapped, so that processes share it."""
