# In: a model's raw answers. Out: its response records, with choice and score. No engine, no GPU.


rule parse:
    input:
        RUN.results("merged/{slug}.parquet"),
    output:
        RUN.results("responses/{slug}.parquet"),
    log:
        RUN.log("parse/{slug}.log"),
    priority: RUN.above_generating
    retries: 0
    conda:
        RUN.environment
    params:
        parser=RUN.parser,
        digest=RUN.parser_digest,
    script:
        "../scripts/parse.py"
