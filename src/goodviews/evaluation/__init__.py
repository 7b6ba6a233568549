"""Evaluation: frozen features, probes on them, and what their geometry shows without labels."""
