"""The verbs of inventory, one module per noun."""
