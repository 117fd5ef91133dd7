"""Who may speak: tokens, keys, names held, limits. Pure but for what its caller passes in."""
