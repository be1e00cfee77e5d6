"""`.ipynb` text ↔ `Notebook`: parsing, the grammar of tags, and rewriting tags in place."""
