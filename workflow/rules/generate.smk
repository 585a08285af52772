# In: samples.parquet and a model. Out: one shard of the model's answers. Every answer is journalled as
# it finishes, so that a job which starts again does only what is missing.


rule generate:
    input:
        samples=RUN.results("samples.parquet"),
        weights=RUN.weights_to_wait_for,
    output:
        RUN.results("generations/{slug}/{i}-of-{n}.parquet"),
    log:
        RUN.log("generate/{slug}/{i}-of-{n}.log"),
    priority: RUN.shard_priorities
    conda:
        RUN.environment
    threads: RUN.threads
    resources:
        gpu=RUN.gpus,
        runtime=RUN.runtimes,
    params:
        settings=RUN.settings,
        retry=RUN.retries,
    script:
        "../scripts/generate.py"
