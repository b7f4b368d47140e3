"""What the benchmark scripts share. Python's standard library is all they need."""
