"""What others would write for the same job, written fairly; `bench.throughput` runs them."""
