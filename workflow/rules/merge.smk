# In: all shards of a model. Out: its answers joined to their samples, each exactly once, or an error.


rule merge:
    input:
        samples=RUN.results("samples.parquet"),
        shards=lambda wildcards: RUN.shards[wildcards.slug],
    output:
        RUN.results("merged/{slug}.parquet"),
    log:
        RUN.log("merge/{slug}.log"),
    priority: RUN.above_generating
    retries: 0
    conda:
        RUN.environment
    params:
        shards=lambda wildcards: len(RUN.shards[wildcards.slug]),
        settings=lambda wildcards: RUN.settings[wildcards.slug],
    script:
        "../scripts/merge.py"
