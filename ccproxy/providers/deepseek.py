"""DeepSeek. Its room in the layout: a dialect of Chat Completions with rules of its own."""
