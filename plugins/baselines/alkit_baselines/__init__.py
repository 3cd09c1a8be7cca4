"""The baseline strategies and stopping rules: one file per method, registered through entry points like any plugin."""
