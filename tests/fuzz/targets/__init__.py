"""One module for each reader; its `run(octets)` raises if a promise is broken, and returns otherwise."""
