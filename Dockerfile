# alkit for CPUs. Build: docker build -t alkit .
# Run in a folder with images: docker run --rm -v "$PWD:/data" --user "$(id -u)" alkit demo --out demo
FROM python:3.11-slim
COPY . /alkit
WORKDIR /alkit
RUN pip install ".[cpu,pretrained]"
WORKDIR /data
ENV HOME=/tmp
USER 1000
ENTRYPOINT ["alkit"]
CMD ["--help"]
