# One image for both services and the migrations; the command says which: ingest_service (the default),
# worker_service or shared.migrations.

FROM python:3.11-slim AS build
RUN python -m venv /opt/tablemill
ENV PATH=/opt/tablemill/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements-server.lock ./
RUN pip install --require-hashes -r requirements-server.lock
COPY pyproject.toml README.md LICENSE ./
COPY tablemill tablemill
COPY shared shared
COPY ingest_service ingest_service
COPY worker_service worker_service
RUN pip install --no-deps .

FROM python:3.11-slim
COPY --from=build /opt/tablemill /opt/tablemill
# /scratch holds temporary files: give it room, nothing there needs to be kept.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin tablemill \
    && install --directory --owner=tablemill --mode=0700 /scratch
ENV PATH=/opt/tablemill/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    TMPDIR=/scratch \
    TABLEMILL_LISTEN=0.0.0.0:50051 \
    TABLEMILL_METRICS_LISTEN=0.0.0.0:9090
USER 10001
WORKDIR /scratch
VOLUME /scratch
EXPOSE 50051 9090
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["python", "-m", "shared.rpc.probe", "127.0.0.1:50051"]
ENTRYPOINT ["python", "-m"]
CMD ["ingest_service"]
