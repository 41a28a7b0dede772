"""One thread: on tensors this small more threads only wait for each other, on a busy machine for seconds."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
