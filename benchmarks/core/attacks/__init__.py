"""The core under attack, in a crowd, out of descriptors and with several workers: `make bench-core-attacks`."""
