"""The strategies of the comparison, one file per method, registered by entry points as anybody's would be."""
