"""Oracles: those who label, and those who only play the part."""
