"""The HTML that objects show as the last line of a notebook's cell.

`engine/viewers.py` names the function of each class. A function reads its object and changes nothing: it
calls no function of the user's but those that describe (a representation, a schedule's rate), iterates no
loader, and brings only the shown elements from a GPU.
"""
