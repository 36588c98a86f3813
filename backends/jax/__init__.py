"""TCL and SupCon for JAX: pure functions."""

from tuned_contrastive.backends.jax.losses import supcon_loss, tcl_loss

__all__ = ["supcon_loss", "tcl_loss"]
