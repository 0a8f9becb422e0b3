"""From what was counted to figures, by subject: a module for each, which names them and says where they are read."""
