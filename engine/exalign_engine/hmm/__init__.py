"""The hidden Markov model over exemplars: filter, smoother, most probable path."""
