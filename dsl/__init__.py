"""From source text to a checked program: text, checks, declarations, codes.

>>> from nncirc import check_text
>>> result = check_text('model gpt2 using huggingface { id = "gpt2" }')
>>> result.program.declarations["gpt2"].values["dtype"]
'float32'
"""
