"""The core against its peers (`make bench-core`), and under attack (`make bench-core-attacks`)."""
