"""How fast and how big the losses are, against their rivals and the floor; never a verdict."""
