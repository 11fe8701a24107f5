# One image for everything of Infinite Pages that is Python: the edge, the worker, the deploy.

FROM python:3.13.9-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

WORKDIR /srv/infinite-pages
COPY requirements.txt ./
RUN pip install --require-hashes --only-binary=:all: -r requirements.txt

# Installed in place: the package reads migrations/ and sql/ beside it.
COPY pyproject.toml requirements.in README.md LICENSE ./
COPY api api
RUN pip install --no-deps --no-build-isolation --no-index -e .

FROM python:3.13.9-slim-bookworm

# The folders are for volumes, which take their owner from here.
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin pages \
    && install --directory --owner=pages --group=pages /var/lib/covers /var/lib/sandbox
COPY --from=build /opt/venv /opt/venv
WORKDIR /srv/infinite-pages
COPY --from=build /srv/infinite-pages ./
COPY migrations migrations
COPY sql sql

ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Where the edge's two processes count their requests together; new with each container.
ENV PROMETHEUS_MULTIPROC_DIR=/dev/shm/edge-figures
USER pages
EXPOSE 8000
CMD ["gunicorn", "--bind=0.0.0.0:8000", "--workers=2", "--threads=32", \
     "--worker-tmp-dir=/dev/shm", "--no-control-socket", "api:create_app()"]
