"""Pictures for people: upright files, overlays, contact sheets, colours."""
