"""What every run imports, imported before the runs are forked."""


def everything() -> None:
    """Import torch, timm, and what they import at the first step of an optimizer."""
    import torch._dynamo
    import torch.utils.tensorboard  # noqa: F401

    import ablate.run  # noqa: F401
