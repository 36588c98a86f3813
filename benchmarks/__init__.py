"""How fast and how big the losses are, and what they do to a pair; never whether that is right."""
