"""How people really train: validated, stopped early, judged by what is held back."""
