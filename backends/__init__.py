"""Thin, parallel, fast implementations, one folder per framework."""
