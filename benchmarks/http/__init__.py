"""HTTP against its peers (`make bench-http`): nginx on this machine, the same work by each library."""
