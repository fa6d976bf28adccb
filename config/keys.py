"""Check whether a master key could be random. Reports what is wrong with a key, never the key."""

import math
import re
from collections import Counter
from itertools import pairwise

MIN_LENGTH = 32
MIN_DISTINCT = 8
MIN_BITS = 80
SAMPLES = (
    "asdfgh",
    "changeme",
    "default",
    "development",
    "example",
    "insecure",
    "latchkey",
    "password",
    "placeholder",
    "qwerty",
    "replace",
    "sample",
    "secret",
)


def weakness(key: str) -> str | None:
    """Return why a key isn't safe to use, or None when no weakness is found.

    About one in three million random keys is rejected: the sample words have six letters or more, and the minimum
    variety (8 different characters, 80 bits by their frequency) is far below that of 32 random hex digits.
    """
    if len(key.encode("utf-8", "surrogatepass")) < MIN_LENGTH:
        return f"contains a key shorter than {MIN_LENGTH} bytes"
    letters = re.sub(r"[^a-z]", "", key.lower())
    if any(word in letters for word in SAMPLES):
        return "contains a sample key that others know"
    if has_low_variety(key):
        return "contains a key that isn't random enough"
    return None


def has_low_variety(key: str) -> bool:
    """Return whether a key repeats itself, counts up or down, or uses only a few characters."""
    counts = Counter(key)
    bits = -sum(count * math.log2(count / len(key)) for count in counts.values())
    repeats = (key + key).find(key, 1) < len(key) or key[: len(key) // 2] == key[len(key) // 2 :][: len(key) // 2]
    steps = sum(abs(ord(a) - ord(b)) <= 1 for a, b in pairwise(key))
    return len(counts) < MIN_DISTINCT or bits < MIN_BITS or repeats or steps > 0.6 * len(key)
