"""Where a model's files are: a folder, a hub, a folder inside of either."""

from __future__ import annotations

from pathlib import Path

from jobs.errors import EngineUnavailable
from jobs.settings import EngineSettings, preset


def local_model(settings: EngineSettings, model: str) -> str:
    """What to give to vLLM: the folder with config.json, or the hub's id where vLLM itself may fetch it.

    A folder inside a repository has to be fetched first, since vLLM takes whole repositories only. Raises
    EngineUnavailable where a path does not exist or the hub has no such folder.
    """
    folder = Path(model)
    if folder.is_absolute() or model.startswith(".") or folder.exists():
        return _checked(folder / (settings.vllm_subfolder or ""))
    if settings.vllm_source == "modelscope":
        preset(VLLM_USE_MODELSCOPE="True")
    if settings.vllm_subfolder is None:
        return model
    return _checked(Path(_fetched(settings, model)) / settings.vllm_subfolder)


def _fetched(settings: EngineSettings, model: str) -> str:
    pattern = f"{settings.vllm_subfolder}/*"
    try:
        if settings.vllm_source == "modelscope":
            from modelscope import snapshot_download as from_modelscope

            return str(from_modelscope(model, revision=settings.vllm_revision, allow_patterns=[pattern]))
        from huggingface_hub import snapshot_download

        return str(snapshot_download(model, revision=settings.vllm_revision, allow_patterns=[pattern]))
    except Exception as error:
        # The hub clients' errors have no common root; each means that there is no model.
        raise EngineUnavailable(f"{model} cannot be fetched: {error}", where="PAGEMILL_VLLM_MODEL") from error


def _checked(folder: Path) -> str:
    if not (folder / "config.json").is_file():
        raise EngineUnavailable(f"there is no model in {folder}: no config.json", where="PAGEMILL_VLLM_MODEL")
    return str(folder)
