"""Attacks on a whole server, over real TLS, and the tools that make them."""
