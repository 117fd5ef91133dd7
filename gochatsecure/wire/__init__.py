"""Bytes to words and back: TLS records, HTTP requests, WebSocket messages, commands and events. Pure: no I/O."""
