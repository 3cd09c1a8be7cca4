"""Pictures for people: image files, overlays, contact sheets and colours."""
