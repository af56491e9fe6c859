"""Understanding prompts: an explicit reading of the words, and a sentence encoder for what the words only suggest."""
