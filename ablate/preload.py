"""What every run imports, imported at once, and in a server before the runs are forked."""

import gc


def everything() -> None:
    """Import torch, timm, what they import at the first step of an optimizer, and what draws for TensorBoard."""
    gc.disable()  # nothing of this is garbage, and looking for some takes a fifth of the time
    try:
        import torch._dynamo
        import torch.utils.tensorboard  # noqa: F401

        import ablate.pictures
        import ablate.run  # noqa: F401
    finally:
        gc.enable()
