"""Hamming-weight-preserving circuits and their exact classical simulation."""
