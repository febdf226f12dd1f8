"""Rendering: documents as HTML or Markdown, and figures. Never imports jax."""
