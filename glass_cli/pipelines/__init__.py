"""The seat in diffusers: any pipeline as a flow that can be asked at any time."""
