"""How gsfnas calls torch.compile."""

from typing import Any

# With comprehensive padding, which is Inductor's default on a GPU, the gradients of GSF in half precision are wrong by up
# to 110 % on planes of 14 x 14 (torch 2.11 on an H200). Without it they are as exact as uncompiled ones where that was tried
# (reports/gpu).
COMPILE_OPTIONS: dict[str, Any] = {"comprehensive_padding": False}
