"""What the director costs: see README.md beside this file."""
