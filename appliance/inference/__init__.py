"""Text to proposed tool calls.

    tokenizer    text -> tokens with their characters
    encoding     request and tools -> one sequence
    interpreter  sequence -> scores (the one place that speaks to TFLite)
    readings     scores -> what they say at the places that matter
    pointing     pointer scores -> words
    decoder      all of it -> Proposal
    confidence   evidence -> calibrated probability
    retrieval    many tools -> the few that fit
    bundle       a folder -> files that can be trusted to be whole

Array axes: `T` tokens of the sequence, `R` tokens of the request, `S` scalars, `P` pointers, `d` width of a pointer,
`B` batch (in training only; always 1 on device).
"""
