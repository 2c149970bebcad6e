"""`make bench`: speed and memory beside stock tools, in one run on one machine; prints a table and writes BENCHMARKS.md."""
