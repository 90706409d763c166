"""How good the output is: error rates, BLEU and their kin, and quality by source length."""
