"""The conformance suite: tells whether the specification is true of an implementation."""
