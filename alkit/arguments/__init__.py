"""Checks of arguments against the types that public functions and classes declare."""
