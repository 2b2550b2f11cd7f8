"""Pictures, animations and pages that show what an embedding does."""
