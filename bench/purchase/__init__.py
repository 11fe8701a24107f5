"""What one purchase costs, beside two baselines that are measured in the same minutes."""
