"""How fast the bridge is, and against what."""
