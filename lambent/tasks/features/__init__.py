"""What codes are good for as features: what a plain reader learns from them, and the clusters that they lie in."""
