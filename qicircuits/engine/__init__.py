"""Engines that move amplitudes: index tables, torch operators, CPU kernels, and the choice between them."""
