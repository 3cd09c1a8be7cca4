"""Label Studio: its REST interface, and its regions as masks. The oracle itself is :mod:`alkit.oracles.labelstudio`."""
