# skinapp as an image: `docker build -t skinapp .`; compose.yaml runs it behind a proxy that speaks HTTPS.
FROM python:3.11-slim-bookworm

LABEL org.opencontainers.image.title="skinapp" \
      org.opencontainers.image.description="Seven skin lesion class probabilities with saliency maps. Not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-NC-4.0"

# Every package comes as a wheel: there is nothing to compile, and no second stage is needed to keep a compiler out of the image.
COPY requirements.lock /opt/
RUN pip install --no-cache-dir --root-user-action=ignore --only-binary :all: --require-hashes -r /opt/requirements.lock

WORKDIR /app
COPY . .
RUN python -m compileall -q . && useradd --uid 10001 --no-create-home skinapp

# The file system may be read-only: uploads, and what libraries keep in a home, go to /tmp.
USER 10001:10001
ENV HOME=/tmp GRADIO_SERVER_NAME=0.0.0.0
EXPOSE 7860
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:7860/health', timeout=9)"]
CMD ["python", "app.py"]
