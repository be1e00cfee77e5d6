"""Facts about the blobs, in SQLite: runs, results by step key, versions and their tags."""
