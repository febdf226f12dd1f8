"""What is written for people: a document, its page, its figures. Never imports jax."""
