"""``make bench``: how fast the production server is, beside a bare floor app, in one interleaved run."""
