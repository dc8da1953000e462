"""What only looks: the screens of plan, status, watch, doctor and explain."""
