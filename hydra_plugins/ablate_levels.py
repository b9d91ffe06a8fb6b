"""Levels without a file, as Hydra reads them: timm's names and numbers, in the last place where it looks.

Imported whenever any Hydra application starts; it answers only where conf/config.yaml names it in hydra.searchpath.
"""

from typing import TYPE_CHECKING

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from omegaconf import OmegaConf

if TYPE_CHECKING:
    from typing import Any


class LevelSource(ConfigSource):
    """Says what `backbone/convnext_tiny` or `batch_size/b192` holds. Lists none, as there is no end of them."""

    @staticmethod
    def scheme() -> str:
        return "levels"

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:  # noqa: ARG002
        return False

    def is_config(self, config_path: str) -> bool:
        return self._content(config_path) is not None

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:  # noqa: ARG002
        return []

    def load_config(self, config_path: str) -> ConfigResult:
        content = self._content(config_path)
        if content is None:
            raise ConfigLoadError(f"there is no level {config_path}")
        return ConfigResult(
            provider=self.provider, path=self.full_path(), config=OmegaConf.create(content), header={"package": None}
        )

    def _content(self, config_path: str) -> "dict[str, Any] | None":
        from ablate.config import levels

        group, _, level = config_path.removesuffix(".yaml").partition("/")
        return levels.content(group, level)
