"""The K exemplar shapes: building, synthetic poses, head poses."""
