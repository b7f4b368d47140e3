"""The code that the benchmark scripts share. It uses only Python's standard library."""
