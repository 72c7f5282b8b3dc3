"""What drawn pictures are worth: drawn from a model, judged beside what proves nothing, and told."""
