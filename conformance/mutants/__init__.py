"""Plausible wrong losses; the suite must refuse each at the clause that it breaks."""
