"""Reports: that of a single benchmark, and the one that gathers them all."""
