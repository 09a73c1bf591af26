"""Benchmarks of the jobs: what a run costs beside what is done by hand and by other programs."""
