"""The engine: planner, autoencoder, transformer, sampler and streaming behind one contract."""
