"""How often the verdicts are right: measured where the answer is known."""
