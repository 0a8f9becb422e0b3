"""The daemon killed where it hurts: nothing that was answered 250 is lost, and every duplicate has its reason."""
