"""GroundedCall -> Verdict: the device's lifecycle and the rules of its owner."""
