"""The studies of InfoMin (Tian et al. 2020): which views are good, and views that are learned."""
