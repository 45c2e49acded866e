"""What server, data sets and client must see alike in picture files."""
