"""Label Studio: its REST interface, and its regions as masks. The oracle is in :mod:`alkit.oracles.labelstudio`."""
