"""The conformance suite: is the specification true of this implementation?"""
