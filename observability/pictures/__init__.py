"""Pictures of the estate with its health: what is drawn where, in which colour, and what a screen reader says."""
