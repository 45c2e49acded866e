# The server, on a CPU (the default) or on a GPU (docs/gpu.md).
#   docker build -t exalign .
#   docker run --rm --read-only --tmpfs /tmp -v ./tls:/tls:ro -e EXALIGN_TLS_CERT=/tls/server.crt \
#     -e EXALIGN_TLS_KEY=/tls/server.key -p 50051:50051 -p 9464:9464 exalign
#   docker build --target gpu -t exalign:gpu .
#   docker run --rm --gpus all --read-only --tmpfs /tmp -v exalign-engines:/var/cache/exalign -e EXALIGN_INSECURE=true \
#     -p 127.0.0.1:50051:50051 exalign:gpu
# A container listens beyond itself, hence needs a certificate, or EXALIGN_INSECURE=true: then publish the port on
# 127.0.0.1 alone, or where nobody is whom you do not trust.
# Of the gpu target: a tag of NVIDIA's image. 26.06 has TensorRT 11.0 (with CUDA 13.3, Ubuntu 24.04 and Python 3.12), as
# public projects that build on it say; it could not be pulled, hence was not tried, where this was written.
ARG TENSORRT_TAG=26.06-py3

FROM python:3.13-slim-bookworm AS build

WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/exalign
COPY pyproject.toml README.md LICENSE ./
COPY protos protos
COPY engine engine
COPY service service
COPY clients clients
COPY offline offline
COPY models models
RUN /opt/exalign/bin/pip install '.[serve,redis]' ./models/exalign-model-143k

# Kernels are compiled now, not while the first caller waits. numba refuses a cache that it cannot write to, and the
# image's belongs to root: the server starts with a copy in /tmp, which a read-only container needs as a tmpfs.
# Tables that follow from the model are made now too; a server maps them where they are.
ENV NUMBA_CACHE_DIR=/opt/exalign/kernels \
    XDG_CACHE_HOME=/opt/exalign/cache
RUN /opt/exalign/bin/python -c "from exalign_engine import Aligner; a = Aligner.default(); a.warm_up(); a.chain; a.model.by_landmark" \
    && chmod -R a+rX /opt/exalign/cache

# NVIDIA's image has TensorRT, its Python module and CUDA; the engine is built for the GPU at hand at the first start.
FROM nvcr.io/nvidia/tensorrt:${TENSORRT_TAG} AS gpu

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY protos protos
COPY engine engine
COPY service service
COPY clients clients
COPY offline offline
COPY models models
# Its own environment, that sees the image's tensorrt. The image may be without venv.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv --system-site-packages /opt/exalign \
    && /opt/exalign/bin/pip install '.[serve,redis]' ./models/exalign-model-143k 'cuda-bindings>=13.0'

ENV NUMBA_CACHE_DIR=/opt/exalign/kernels \
    PATH=/opt/exalign/bin:$PATH
RUN python -c "from exalign_engine import Aligner; Aligner.default(runtime='openvino').warm_up()" \
    && useradd --system --uid 10001 --no-create-home exalign \
    && mkdir -p /var/cache/exalign \
    && chown exalign /var/cache/exalign

ENV EXALIGN_RUNTIME=tensorrt \
    EXALIGN_ENGINE_CACHE=/var/cache/exalign \
    EXALIGN_ADDRESS=0.0.0.0:50051 \
    EXALIGN_METRICS_ADDRESS=0.0.0.0:9464 \
    NUMBA_CACHE_DIR=/tmp/exalign-kernels \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /
VOLUME /var/cache/exalign
USER 10001
EXPOSE 50051 9464
# The first start builds the engine, which takes minutes.
HEALTHCHECK --interval=10s --timeout=3s --start-period=600s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9464/readyz', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/bin/sh", "-c", \
    "mkdir -p $NUMBA_CACHE_DIR && cp -R --no-preserve=mode /opt/exalign/kernels/. $NUMBA_CACHE_DIR && exec exalign-server \"$0\" \"$@\""]
CMD ["serve"]

# Last, so that a plain `docker build` makes it.
FROM python:3.13-slim-bookworm AS cpu

RUN useradd --system --uid 10001 --no-create-home exalign
COPY --from=build /opt/exalign /opt/exalign
ENV PATH=/opt/exalign/bin:$PATH \
    NUMBA_CACHE_DIR=/tmp/exalign-kernels \
    XDG_CACHE_HOME=/opt/exalign/cache \
    EXALIGN_ADDRESS=0.0.0.0:50051 \
    EXALIGN_METRICS_ADDRESS=0.0.0.0:9464
USER 10001
EXPOSE 50051 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9464/readyz', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/bin/sh", "-c", \
    "mkdir -p $NUMBA_CACHE_DIR && cp -R --no-preserve=mode /opt/exalign/kernels/. $NUMBA_CACHE_DIR && exec exalign-server \"$0\" \"$@\""]
CMD ["serve"]
