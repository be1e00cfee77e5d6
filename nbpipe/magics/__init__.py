"""Magics: what `%load_ext nbpipe` adds to a user's kernel. Cheap to import."""
