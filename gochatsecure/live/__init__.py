"""The asyncio edge: sockets, timers and tasks around the pure parts."""
