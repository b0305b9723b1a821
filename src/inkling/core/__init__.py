"""The mathematics of diffusion: noise schedules, denoisers, samplers, guidance, averages, seeds.

Imports torch and the contracts, nothing else of the house.
"""
