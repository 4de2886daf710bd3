"""What runs many models: how many labels are worth their while, and which."""
