"""The lab: EDYE in miniature. Real daemons on loopback, without root, that the demo and the end-to-end tests act on.

A program beside the portal: it may import `drivers`, and nothing imports it but its own commands. See `lab/README.md`.
"""
