"""Values ↔ bytes: a file a format."""
