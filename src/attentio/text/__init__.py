"""Token ids and text: tokenizers and Hangul jamo."""
