"""The circuit of a provider: closed, open, half-open. Its room in the layout; nothing opens one yet."""
