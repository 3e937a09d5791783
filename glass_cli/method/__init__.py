"""The mathematics of GLASS Flows (arXiv 2509.25170): paths, transitions, samplers, times."""
