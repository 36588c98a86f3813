"""What the losses do to a pair: gradient responses from the reference, as arrays and figures."""
