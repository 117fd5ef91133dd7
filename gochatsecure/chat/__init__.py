"""What a conversation is. Pure: no await, no clock, no socket, no thread."""
