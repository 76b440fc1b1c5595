"""What is allowed and who consented: limits, policies, consent. Which module may write which: docs/controls.md."""
