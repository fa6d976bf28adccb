"""Other packages as subjects, each as its documents set it up, installed under ``.cache/bench``."""
