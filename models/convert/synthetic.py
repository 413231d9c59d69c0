"""The deterministic picture on which converted models are compared with a reference.

Integer arithmetic only, so that Python (here) and JavaScript (reference.mjs) agree to the last bit: a textured
ground, and upright figures of several sizes (a head, a body, legs) so that the heat map has peaks worth comparing.
"""

import numpy as np

FIGURES = ((90, 60, 260), (300, 150, 180), (210, 20, 120), (410, 90, 300))
"""Left edge, top edge and height in per mille of 1000 x 1000, of each figure."""


def picture(width, height):
    """A picture, height x width x 3 (RGB), uint8."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    out = np.empty((height, width, 3), np.int64)
    for c in range(3):
        ground = 110 + 12 * c + (x * 40) // width - (y * 30) // height
        texture = ((x * 7919 + y * 104729 + (x * y) * 31 + c * 17) % 23) - 11
        out[:, :, c] = ground + texture
    for n, (left, top, tall) in enumerate(FIGURES):
        x0, y0, h = left * width // 512, top * height // 512, tall * height // 512
        w = h * 2 // 5
        u = (x - x0) * 1000 // max(w, 1)
        v = (y - y0) * 1000 // max(h, 1)
        head = (u - 500) * (u - 500) * 4 + (v - 85) * (v - 85) * 25 < 150000
        body = (v >= 160) & (v < 540) & (u >= 180) & (u < 820)
        legs = (v >= 540) & (v < 1000) & (((u >= 230) & (u < 470)) | ((u >= 530) & (u < 770)))
        for c in range(3):
            plane = out[:, :, c]
            plane[head] = 205 - 30 * c
            plane[body] = (60 + 50 * n + 70 * c) % 200
            plane[legs] = 35 + 15 * c + 5 * n
    return np.clip(out, 0, 255).astype(np.uint8)
