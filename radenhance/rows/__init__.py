"""One image over several processes by rows: shares, halos and sums (docs/explanation/rows.md)."""
