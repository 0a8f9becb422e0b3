"""The two providers' dialects and the translation between them.  Pure functions over values."""
