"""Texts as models read them: rows, languages, and the passages drawn from them."""
