"""How the shipped weights are made. Needs numpy, scipy, torch and safetensors; ``make_bundle`` also soundfile."""
