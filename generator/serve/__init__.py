"""Recommendations in real time: session stores, recommender, HTTP app, web page, and the loop back to training."""
