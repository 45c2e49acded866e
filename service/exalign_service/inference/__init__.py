"""The batcher in front of the network, and the cache of posteriors."""
