# The page (--mode=serve) on a CPU; avl_jax/page/README.md says how it is run.
FROM python:3.11-slim-bookworm
WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt
COPY main.py ./
COPY avl_jax avl_jax
COPY configs configs
COPY input_pipeline input_pipeline
# Caches go to /cache, and questions while they are answered; /runs has the run
# and its index, and the page's token.
RUN install -d -o 1000 -g 1000 /cache
VOLUME /cache
ENV HOME=/cache TMPDIR=/cache PYTHONUNBUFFERED=1
USER 1000
EXPOSE 8008
ENTRYPOINT ["python", "main.py", "--mode=serve", \
  "--config.serve.host=0.0.0.0", "--config.serve.token_file=/runs/page-token", \
  "--config.serve.cache_dir=/cache/page"]
