"""Recommendations in real time: session stores, models at work, the HTTP service."""
