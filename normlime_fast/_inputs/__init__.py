"""What users pass as X: rows, categories, sources."""
