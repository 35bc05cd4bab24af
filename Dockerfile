# One image for every process; which one it is, its command says (a name of the Procfile).
FROM python:3.11-slim-trixie@sha256:9534e5a8e315485d4061ed659af0fd78a284c015f9b73661b41d6bab25604534 AS packages
WORKDIR /app
RUN python -m venv /venv
COPY requirements.txt .
RUN /venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.txt

FROM python:3.11-slim-trixie@sha256:9534e5a8e315485d4061ed659af0fd78a284c015f9b73661b41d6bab25604534
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 RUNTIME_DIR=/data HOST=0.0.0.0 PORT=8000 LOG_FORMAT=json
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin pump && mkdir /data && chown pump:pump /data
COPY --from=packages /venv /venv
WORKDIR /app
COPY . .
USER pump
VOLUME /data
EXPOSE 8000
ENTRYPOINT ["/app/bin/process"]
CMD ["web"]
