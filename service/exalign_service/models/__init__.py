"""The models of one server: what belongs to one bundle, which of them live, and which answers."""
