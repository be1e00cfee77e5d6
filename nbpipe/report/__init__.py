"""A run as one self-contained HTML page (start in `page.py`)."""
