"""The losses by the names of the command line, with their titles; loads no framework."""

UNTRAINED = "untrained"
CROSS_ENTROPY = "cross-entropy"
SUPERVISED = (CROSS_ENTROPY, "supcon", "tcl")
SELF_SUPERVISED = (
    "tcl-3-views", "tcl-2-views", "simclr", "simclr-3-views", "ntxent", "vicreg", "barlow-twins",
    "simsiam",
)  # fmt: skip
ONLY_TCL = ("k1", "k2")
"""The parameters that SupCon has not."""

TITLES = {
    UNTRAINED: "untrained encoder",
    CROSS_ENTROPY: "cross-entropy",
    "supcon": "SupCon",
    "tcl": "TCL",
    "tcl-3-views": "TCL, 3 views",
    "tcl-2-views": "TCL, 2 views",
    "simclr": "SimCLR (our SupCon, 2 views)",
    "simclr-3-views": "our SupCon, 3 views",
    "ntxent": "SimCLR (NT-Xent of pytorch-metric-learning)",
    "vicreg": "VICReg (pytorch-metric-learning)",
    "barlow-twins": "Barlow Twins",
    "simsiam": "SimSiam",
}
