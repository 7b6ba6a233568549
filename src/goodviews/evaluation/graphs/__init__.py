"""Evaluation on graphs: links that are missing, nodes, whole graphs, and the tendency of a graph.

Needs the extra ``graph``: ``pip install "goodviews[graph]"``.
"""
