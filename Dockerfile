# The server on a CPU.
#   docker build -t exalign .
#   docker run --rm -p 50051:50051 -p 9464:9464 exalign
FROM python:3.13-slim-bookworm AS build

WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/exalign
COPY pyproject.toml README.md LICENSE ./
COPY protos protos
COPY engine engine
COPY service service
COPY clients clients
RUN /opt/exalign/bin/pip install '.[serve]'

# Kernels are compiled now, not while the first caller waits; the cache is part of the image.
ENV NUMBA_CACHE_DIR=/opt/exalign/kernels
RUN /opt/exalign/bin/python -c "from exalign_engine import Aligner; Aligner.default().warm_up()"

FROM python:3.13-slim-bookworm

RUN useradd --system --uid 10001 --no-create-home exalign
COPY --from=build /opt/exalign /opt/exalign
ENV PATH=/opt/exalign/bin:$PATH \
    NUMBA_CACHE_DIR=/opt/exalign/kernels \
    EXALIGN_ADDRESS=0.0.0.0:50051 \
    EXALIGN_METRICS_ADDRESS=0.0.0.0:9464
USER 10001
EXPOSE 50051 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9464/readyz', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["exalign-server"]
CMD ["serve"]
