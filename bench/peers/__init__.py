"""Other packages as subjects, each set up as documented and installed under ``.cache/bench``."""
