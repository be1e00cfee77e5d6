"""What the code ran in: Python, platform, and the distributions behind its imports."""
