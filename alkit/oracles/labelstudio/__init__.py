"""Label Studio: its REST interface, its regions as masks, and the oracle that uses both."""
