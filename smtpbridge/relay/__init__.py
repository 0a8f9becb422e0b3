"""The Twisted side of SMTP: listener, bridge, upstream connections and their pool."""
