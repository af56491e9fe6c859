"""The networks: autoencoder, transformer, and the flow between noise and latents."""
