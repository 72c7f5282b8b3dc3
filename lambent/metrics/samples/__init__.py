"""How good drawn pictures are, in numbers: distances, shares, spectra and neighbours. Plain functions."""
