"""Estimators: how many nats two things share, measured on data."""
