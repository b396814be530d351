"""The prices inside the package genai-prices, read without its types, which take more memory than the prices."""
