"""A network in miniature: makes believable usage and reports it through the public HTTP API.

A client like any operator's mediation system: it knows a URL, a token and a list of numbers, and nothing of
the portal's insides. `model` says what happens (pure, reproducible), `sender` gets it delivered, `__main__`
is the command.
"""
