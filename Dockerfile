# syntax=docker/dockerfile:1
#
# Three images:  docker build --target api|cpu|gpu .
#
#   api   the command without an engine: API, migrations, keys, Flower       (compose.yaml: check, migrate, api, flower)
#   cpu   and RapidOCR with its models, which come inside the wheels         (worker-cpu)
#   gpu   and PaddleOCR-VL on vLLM; models are fetched at the first start    (worker-gpu-…)
#
# No compiler and no pip cache in what is left, no root, nothing written outside /scratch, /models and /tmp.
# How it is checked without a Docker engine: tests/unit/test_dockerfile.py, python -m tests.image

ARG PYTHON=3.12.13-slim-trixie

# --- what all of them stand on

FROM python:${PYTHON} AS base
ENV PATH=/opt/pagemill/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /scratch --shell /usr/sbin/nologin pagemill \
 && install --directory --owner pagemill --group pagemill /scratch /models

# --- what pagemill depends on, by pyproject.toml alone: a change of code does not install it again

FROM base AS depends
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv /opt/pagemill
COPY pyproject.toml constraints.txt constraints-gpu.txt ./
RUN touch README.md

FROM depends AS depends-api
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install -c constraints.txt .

# Two wheels ask for opencv-python, which needs libGL; the headless build owns the same files and is put back last.
FROM depends-api AS depends-cpu
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install -c constraints.txt '.[cpu]' \
 && pip uninstall --yes opencv-python \
 && pip install --force-reinstall --no-deps -c constraints.txt opencv-python-headless

# constraints.txt is the CPU engine's; vLLM pins others (torch among them, whose wheel brings the libraries of CUDA).
FROM depends AS depends-gpu
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install -c constraints-gpu.txt '.[paddleocr-vl,vllm]'

# --- pagemill itself, the same wheel for all

FROM depends AS wheel
COPY README.md ./
COPY jobs jobs
COPY workers workers
COPY api api
RUN --mount=type=cache,target=/root/.cache/pip \
    pip wheel --no-deps --wheel-dir /wheel .

FROM depends-api AS built-api
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip install --no-cache-dir --no-index --no-deps --force-reinstall /wheel/*.whl

FROM depends-cpu AS built-cpu
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip install --no-cache-dir --no-index --no-deps --force-reinstall /wheel/*.whl

FROM depends-gpu AS built-gpu
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip install --no-cache-dir --no-index --no-deps --force-reinstall /wheel/*.whl

# --- the images

FROM base AS api
LABEL org.opencontainers.image.title="pagemill api" \
      org.opencontainers.image.description="pagemill without an engine: API, migrations, keys, Flower"
COPY --from=built-api /opt/pagemill /opt/pagemill
USER 10001:10001
WORKDIR /scratch
ENV PAGEMILL_SCRATCH=/scratch
EXPOSE 8470
HEALTHCHECK --interval=10s --timeout=15s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8470/v1/health/live', timeout=10)"]
CMD ["pagemill", "api", "--host", "0.0.0.0"]

FROM base AS cpu
LABEL org.opencontainers.image.title="pagemill cpu" \
      org.opencontainers.image.description="pagemill with RapidOCR on the CPU"
COPY --from=built-cpu /opt/pagemill /opt/pagemill
USER 10001:10001
WORKDIR /scratch
ENV PAGEMILL_SCRATCH=/scratch \
    PAGEMILL_METRICS_PORT=9464
HEALTHCHECK --interval=30s --timeout=15s --start-period=3m --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9464/healthz', timeout=10)"]
CMD ["pagemill", "worker", "--engine", "rapidocr"]

# The slim base serves: torch's wheels bring the libraries of CUDA, the NVIDIA container toolkit the driver's. Triton
# compiles its launchers when vLLM starts, so this one image has a C compiler; Python's own headers are in the base.
FROM base AS gpu
LABEL org.opencontainers.image.title="pagemill gpu" \
      org.opencontainers.image.description="pagemill with PaddleOCR-VL on vLLM, for one NVIDIA card"
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
COPY --from=built-gpu /opt/pagemill /opt/pagemill
USER 10001:10001
WORKDIR /scratch
# Whatever is fetched or compiled once goes to the volume at /models.
ENV PAGEMILL_SCRATCH=/scratch \
    HF_HOME=/models/huggingface \
    MODELSCOPE_CACHE=/models/modelscope \
    VLLM_CACHE_ROOT=/models/vllm \
    TRITON_CACHE_DIR=/models/triton \
    TORCHINDUCTOR_CACHE_DIR=/models/inductor \
    XDG_CACHE_HOME=/models/cache \
    VLLM_NO_USAGE_STATS=1 \
    PAGEMILL_METRICS_PORT=9464 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
HEALTHCHECK --interval=30s --timeout=15s --start-period=20m --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9464/healthz', timeout=10)"]
CMD ["pagemill", "worker", "--engine", "paddleocr_vl", "--device", "0"]
