"""How many labels does alkit save? Learning curves on three data sets, see ``benchmarks/README.md``."""
