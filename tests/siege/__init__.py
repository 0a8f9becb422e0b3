"""Many hostile peers at once, and an ordinary sender among them."""
