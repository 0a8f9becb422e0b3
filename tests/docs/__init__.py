"""The pages: that they are what the code says, that their links lead somewhere, and that their recipes work."""
