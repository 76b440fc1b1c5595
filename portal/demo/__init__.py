"""The demo: one operator, three enterprises with a past, and a cast to sign in as.

`plan` says what there is (pure), `names` what it is called, `history` what was used, `build` makes it
through the same functions that users reach, `cast` makes the people who sign in and the files that other
programs read.
"""
