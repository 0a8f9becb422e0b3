"""What the bridge has taken over and must not lose.  No Twisted, no clock, no log in this room."""
