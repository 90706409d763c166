"""The legend of axis names: one letter means one thing in every file.

In shapes (`Float[Tensor, "batch q d"]`) and in names that carry a layout (`scores_bqk`):

    batch   b   independent sequences of a batch
    heads   h   attention heads
    q       q   query positions (target positions, in translation)
    k       k   key positions (source positions, in translation); values stand at the keys' positions
    d       d   features that query and key are compared in
    dv          features of a value, and so of a context
    source  s   positions of the source sequence
    target  t   positions of the target sequence
    beam    n   hypotheses that are alive for one sentence
    vocab   v   entries of the target vocabulary
    hidden      features of a recurrent state
    features    features of anything else
"""
