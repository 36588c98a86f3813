"""What stands between the suite and an implementation: NumPy in, NumPy out."""
