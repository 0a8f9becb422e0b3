"""Another configuration for a process that runs: reading it, putting it in force or not, and saying which."""
