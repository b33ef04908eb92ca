"""What the twins share."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
