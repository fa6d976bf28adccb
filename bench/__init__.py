"""``make bench``: throughput of the production server compared with minimal apps, in a single interleaved run."""
