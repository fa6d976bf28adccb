# syntax=docker/dockerfile:1

# The packages, verified by hash and compiled now, because the file system is read-only at run time.
FROM python:3.11-slim-bookworm AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
COPY requirements/production.txt /tmp/production.txt
RUN /opt/venv/bin/pip install --require-hashes --only-binary :all: --requirement /tmp/production.txt \
    && /opt/venv/bin/pip uninstall --yes pip setuptools

FROM python:3.11-slim-bookworm AS service
RUN groupadd --gid 10001 latchkey \
    && useradd --uid 10001 --gid latchkey --no-create-home --home-dir /tmp --shell /usr/sbin/nologin latchkey
# glibc: two malloc arenas instead of eight per CPU core, which saves a worker 3 to 7 MB.
ENV PATH=/opt/venv/bin:$PATH \
    MALLOC_ARENA_MAX=2 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FLASK_APP=wsgi:app \
    TZ=UTC
WORKDIR /srv/latchkey
COPY --from=packages /opt/venv /opt/venv
# .dockerignore admits only what is needed at run time.
COPY . .
# Only var is writable, for SQLite, if it is mounted or the file system isn't read-only.
RUN python -m compileall -q app config migrations wsgi.py \
    && mkdir --parents var \
    && chown latchkey:latchkey var
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "deploy/probe.py"]
CMD ["flask", "serve", "--host", "0.0.0.0", "--port", "8000", "--workers", "2"]
