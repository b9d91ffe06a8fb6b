"""What every run imports, imported before the runs are forked."""


def everything() -> None:
    """Import torch, timm, what they import at the first step of an optimizer, and what draws for TensorBoard."""
    import torch._dynamo
    import torch.utils.tensorboard  # noqa: F401

    import ablate.pictures
    import ablate.run  # noqa: F401
