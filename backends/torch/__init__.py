"""TCL and SupCon for PyTorch: functions and `torch.nn.Module`s."""

from tuned_contrastive.backends.torch.losses import supcon_loss, tcl_loss
from tuned_contrastive.backends.torch.modules import SupConLoss, TCLLoss

__all__ = ["SupConLoss", "TCLLoss", "supcon_loss", "tcl_loss"]
