"""Notices: stored facts become messages in the portal, by e-mail and by webhook. docs/notices.md describes it."""
