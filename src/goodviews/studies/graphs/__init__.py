"""Graphs: which views are good for links, nodes or whole graphs, and which links are missing.

Needs the extra ``goodviews[graph]``; the command line loads these modules when it is asked for
them.
"""
