# In: all shards of a model. Out: its answers joined to their samples, each exactly once, or an error.


rule merge:
    input:
        samples=RUN.results("samples.parquet"),
        shards=RUN.shards,
    output:
        RUN.results("merged/{slug}.parquet"),
    log:
        RUN.log("merge/{slug}.log"),
    priority: RUN.above_generating
    retries: 0
    conda:
        RUN.environment
    params:
        shards=RUN.shard_counts,
        settings=RUN.settings,
    script:
        "../scripts/merge.py"
