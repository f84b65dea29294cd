"""Mathematics of fronts: dominance, hypervolume, rank correlation."""
