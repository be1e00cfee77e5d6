"""What nbpipe can do: the use cases that every surface calls."""
