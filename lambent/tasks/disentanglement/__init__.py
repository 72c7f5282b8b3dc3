"""How far a trained model keeps known factors apart: its codes read, turned where asked, measured, and told."""
