"""Scoring records: reading, checking, writing and converting the four layouts that users hold."""
