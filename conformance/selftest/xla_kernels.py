"""What XLA compiles a program of tiles to."""

import re


def tile_kernels(text: str, side: int) -> list[str]:
    """Return the kernels of an optimized program that read or make the pairs of a tile."""
    kernels = re.findall(r"^%[\w.]*fused_computation[\w.]* .*?^}", text, re.MULTILINE | re.DOTALL)
    return [kernel for kernel in kernels if f"[{side},{side}]" in kernel]
