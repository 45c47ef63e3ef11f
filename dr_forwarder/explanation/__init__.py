"""Explanation: one decision for people who learn: who sends what to whom, what changes."""
