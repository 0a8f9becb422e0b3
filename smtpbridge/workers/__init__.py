"""Several processes that share the work: the parent's side, the worker's, and what they say to each other."""
