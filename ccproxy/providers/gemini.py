"""Google Gemini `generateContent`. Its room in the layout."""
