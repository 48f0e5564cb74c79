"""The background process: `start`, `stop`, `restart`. Its room in the layout; `start --foreground` needs none of it."""
