"""The providers, by the `type` an operator writes. A new one is a file here and a line below."""
