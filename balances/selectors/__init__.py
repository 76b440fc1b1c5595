"""Reads for screens, sockets and API: what an account, a line or a charge looks like to one principal.

Owns: the questions; every query passes through `.within(scope)` or names objects that did. Never writes, never formats.
Figures that belong together are read in one snapshot, so that they fit the charge sequence they are shown with.
"""
