"""The exact NumPy float64 reference of TCL and SupCon: losses, gradients, gradient responses."""

from tuned_contrastive.reference.gradients import Gradients, supcon_gradients, tcl_gradients
from tuned_contrastive.reference.losses import supcon_loss, tcl_loss
from tuned_contrastive.reference.response import Response, responses

__all__ = [
    "Gradients",
    "Response",
    "responses",
    "supcon_gradients",
    "supcon_loss",
    "tcl_gradients",
    "tcl_loss",
]
