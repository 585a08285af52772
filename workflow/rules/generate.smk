# In: samples.parquet and a model. Out: one shard of the model's answers. Every answer is journalled as
# it finishes, so that a job which starts again does only what is missing.


rule generate:
    input:
        samples=RUN.results("samples.parquet"),
        weights=lambda wildcards: RUN.weights_to_wait_for[wildcards.slug],
    output:
        RUN.results("generations/{slug}/{i}-of-{n}.parquet"),
    log:
        RUN.log("generate/{slug}/{i}-of-{n}.log"),
    priority: lambda wildcards: RUN.priorities[wildcards.slug][int(wildcards.i) - 1]
    conda:
        RUN.environment
    threads: lambda wildcards: RUN.threads[wildcards.slug]
    resources:
        gpu=lambda wildcards: RUN.jobs[wildcards.slug].gpus,
    params:
        settings=lambda wildcards: RUN.settings[wildcards.slug],
        retry=lambda wildcards: RUN.retries[wildcards.slug],
    script:
        "../scripts/generate.py"
