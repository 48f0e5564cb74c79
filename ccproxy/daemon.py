"""The background process: `start`, `stop`, `restart`. Its room in the layout; nothing runs here yet."""
