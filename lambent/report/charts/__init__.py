"""Charts drawn as SVG, and grids of pictures."""
