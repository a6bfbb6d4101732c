"""How far steps go, and how long curvature is remembered: what the rules say."""
