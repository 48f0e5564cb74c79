"""OpenAI Responses. Its room in the layout: a dialect beside Chat Completions (decision D7)."""
