"""Composes the steps: the only package that knows more than one of them."""
