"""Who pays: rules that steer each charge to the company or to the person while it happens. docs/byod.md

`rules` says what a rule is and what is wrong with one, `decision` splits units among payers (both pure), `book` finds
the rules along a chain of accounts and what is left of them for a kind of event, `publishing` writes.
"""
