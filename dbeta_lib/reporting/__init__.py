"""Figures and tables: everything a reader sees. Start with `plots`, `ecg_paper`, `tables`."""
