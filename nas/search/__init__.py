"""The search: proposals, promotion, feasibility, progress, and processes that join."""
