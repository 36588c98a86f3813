"""The frozen test vectors, as JSON."""
