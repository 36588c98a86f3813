"""The specification: what is true of TCL and SupCon, for every implementation."""
