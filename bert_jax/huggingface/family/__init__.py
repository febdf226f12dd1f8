"""Tables of Hugging Face's families, a file for each that is named unlike BERT."""
