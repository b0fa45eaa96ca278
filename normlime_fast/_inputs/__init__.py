"""Users' data: rows, their categories and labels, and their sources."""
