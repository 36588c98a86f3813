"""What every implementation must pass; each test cites its clauses."""
