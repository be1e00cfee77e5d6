"""Model ↔ JSON: the only place that knows JSON shapes."""
