"""Tests of the project itself: suite, vectors, layout, commands, documents."""
