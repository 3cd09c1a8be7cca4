"""Reading of files that others made: limits on their size, and images that are opened with care."""
