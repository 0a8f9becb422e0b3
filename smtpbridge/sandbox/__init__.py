"""A stand-in for Infobip on this machine: what `make run` and the tests relay to."""
