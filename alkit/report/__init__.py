"""What people look at: curves and tables of results."""
