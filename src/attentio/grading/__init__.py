"""Does somebody's code compute what the paper says? If not: which line of the equation is different."""
