"""Strategies of training on several devices."""
