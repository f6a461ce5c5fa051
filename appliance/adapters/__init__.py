"""Other models behind the same door: a second proposer, asked where the device's own model does not know.

Covers: what leaves the device (`masking`), how it is asked (`asking`), over what (`server`), or on the device itself
(`needle`), and how an answer becomes words of the request (`pointing`). Does not cover: whether one is asked, and what
becomes of its answer; `agent.escalating` and the same gate as for every proposal.
"""
