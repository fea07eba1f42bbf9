"""Engines that move amplitudes: index tables (plan) and the torch sweep (reference)."""
