"""Declared deviations of third-party libraries, each with its reason."""
