"""Attendants: those who listen to a director and act on it: mail, commands, files."""
