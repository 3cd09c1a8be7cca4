"""Which strategy should choose the first labels? Cold starts on three data sets, see ``benchmarks/README.md``."""
