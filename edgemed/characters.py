"""Characters that are drawn as nothing although Python calls them printable."""

UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0" + "".join(map(chr, range(0x180B, 0x1810))))
"""Letters, marks and symbols whose Unicode category does not say that they are empty. They can hide that two names
differ."""
