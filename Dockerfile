# docker build -t radenhance . && docker run --gpus all --shm-size 8g -v "$PWD:/work" radenhance fit --config quickstart.yaml
# The CUDA libraries come with PyTorch's wheel; the host needs the NVIDIA driver and container toolkit.
FROM python:3.12-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*

COPY . /opt/radenhance
RUN make --directory /opt/radenhance install VENV=/opt/venv

RUN useradd --create-home --uid 1000 radenhance && mkdir /work && chown radenhance /work
USER radenhance
WORKDIR /work
ENV PATH=/opt/venv/bin:$PATH
ENTRYPOINT ["radenhance"]
CMD ["--help"]
