"""TCL and SupCon for TensorFlow: functions and `keras.losses.Loss` classes."""

from tuned_contrastive.backends.tensorflow.losses import supcon_loss, tcl_loss
from tuned_contrastive.backends.tensorflow.modules import SupConLoss, TCLLoss

__all__ = ["SupConLoss", "TCLLoss", "supcon_loss", "tcl_loss"]
