"""The contestants: one module each, with how it is installed, set and started."""
