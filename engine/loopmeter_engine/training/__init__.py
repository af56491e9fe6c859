"""How the shipped weights are made. Needs numpy, scipy, torch and safetensors, nothing else."""
