"""What the connector costs, measured against what is physically possible. Never shipped."""
