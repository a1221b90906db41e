"""Comparison models: each takes an ECG as `DBeta` does, so that every evaluation takes it too."""
